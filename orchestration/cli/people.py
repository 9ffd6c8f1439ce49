"""What people look at and decide on: proposed actions."""

from __future__ import annotations

import getpass
from typing import Any, Literal

from orchestration.catalogue import discover, find
from orchestration.cli import console
from orchestration.cli.reasons import in_words, units_of
from orchestration.plant import plant
from pipelines.control_plan.errors import CellworksError


def person(who: str | None) -> str:
    """Who decides: the named one, else the user of this machine.

    Raises:
        CellworksError: no name was given and the machine's user has none (a bare user id of a container).
    """
    if who:
        return who
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise CellworksError(
            "nobody is named who decides",
            expected="the name of a person, kept in the audit",
            found="this machine's user has no name",
            mend="give --who NAME",
        ) from error


def show_actions(solution: str | None, limit: int, *, as_json: bool) -> None:
    """Print the newest actions, of one solution (stage/slug or slug) or of all."""
    from pipelines.actions.decide import list_actions
    from pipelines.lake.connection import reader

    here = plant()
    slug = None if solution is None else find(solution, discover()).slug
    with reader(here.home) as con:
        found = list_actions(con, solution=slug, limit=limit)
    units = units_of(here.site)
    for each in found:
        each["reason"] = in_words(each["reason"], units)
    if as_json:
        console.tell(found, "", as_json=True)
        return
    if not found:
        console.line("no actions were proposed yet")
    for each in found:
        _show_action(each)


def _show_action(each: dict[str, Any]) -> None:
    target = f"{each['grouped_count']} more" if each["grouped_count"] > 1 else each["target_id"]
    console.line(
        f"{each['action_id'][:8]}  {each['kind']} {target}  {each['state']}"
        f"  {each['proposed_at']:%Y-%m-%d %H:%M} UTC, {each['solution']}, priority {each['priority']:.2g}",
        0,
    )
    if each["characteristic_code"]:
        move = f"{console.figure(each['current_value'])} to {console.figure(each['proposed_value'])}"
        console.line(f"{each['characteristic_code']} from {move}", 4)
    console.line(each["reason"], 4)
    if each["seq"]:
        console.line(f"{each['decided_by']}: {each['decided_why']}", 4)


def decide_action(
    action_id: str, decision: Literal["approved", "rejected"], who: str | None, why: str, *, as_json: bool
) -> None:
    """Approve or reject an action."""
    from pipelines.actions.decide import decide
    from pipelines.lake.clock import plant_now
    from pipelines.lake.connection import require_lake, writer
    from pipelines.lake.lock import ACTIONS

    here = plant()
    require_lake(here.home)
    with writer(here.home, why=f"{decision} an action", area=ACTIONS) as con:
        decided = decide(con, here.site, action_id, decision, who=person(who), why=why, now=plant_now(con))
    console.tell(decided, f"{decided['action_id'][:8]} is {decided['state']}", as_json=as_json)
