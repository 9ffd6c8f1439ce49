"""What people look at and decide on: proposed actions."""

from __future__ import annotations

import sys
from typing import Any, Literal

from orchestration.catalogue import discover, find
from orchestration.cli import console
from orchestration.cli.reasons import in_words, units_of
from orchestration.plant import plant


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
    from pipelines.access.identity import authorise
    from pipelines.access.ledger import begin, note_head
    from pipelines.access.rules import rules_of, settle
    from pipelines.actions.decide import decide
    from pipelines.lake.clock import plant_now
    from pipelines.lake.connection import require_lake, writer
    from pipelines.lake.lock import ACTS

    here = plant()
    person = authorise(here.site.access, "approve_action" if decision == "approved" else "reject_action", who)
    require_lake(here.home)
    with writer(here.home, why=f"{decision} an action", area=ACTS) as con:
        begin(here.home, con)
        settle(here.home, con, rules_of(here.site), person)
        decided = decide(con, here.site, action_id, decision, who=person, why=why, now=plant_now(con))
        note_head(here.home, con)
    given, needed, until = decided["approvals"], decided["approvals_needed"], decided["until"]
    text = f"{decided['action_id'][:8]} is {decided['state']}"
    if until is not None:
        text += f" by {given} of {needed} people; it waits for the others until the plant's {until:%Y-%m-%d %H:%M} UTC"
    console.tell(decided, text, as_json=as_json)
    if until is not None:
        sys.exit(console.WAITS)


def show_modes(*, as_json: bool) -> None:
    """Print what each kind of action may do now, and where the site's file says otherwise."""
    from pipelines.actions.modes import in_force
    from pipelines.lake.connection import reader

    here = plant()
    with reader(here.home) as con:
        found = {
            kind: {"in_force": in_force(con, here.site, kind).model_dump(), "in_file": policy.model_dump()}
            for kind, policy in here.site.actions.items()
        }
    if as_json:
        console.tell(found, "", as_json=True)
        return
    for kind, each in found.items():
        now, wanted = each["in_force"], each["in_file"]
        console.line(f"{kind}: {now['mode']}, {now['max_per_day']} a day", 0)
        for name in (name for name in now if now[name] != wanted[name]):
            console.line(f"{name} {now[name]}; the file says {wanted[name]}, which no admin has accepted", 4)


def accept_modes(who: str | None, why: str, *, as_json: bool) -> None:
    """Accept modes and limits as the site's file has them now."""
    from pipelines.access.identity import authorise
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant
    from pipelines.actions.modes import to_accept
    from pipelines.lake.connection import require_lake

    here = plant()
    person = authorise(here.site.access, "write_mode", who)
    require_lake(here.home)
    if not grant(here.home, rules_of(here.site), "write_mode", here.site.name, person, why, to_accept(here.site)):
        console.end_waiting("write_mode", here.site.name, person.name, here.site.access, as_json=as_json)
    found = {"accepted_by": person.name, "modes": {kind: policy.mode for kind, policy in here.site.actions.items()}}
    console.tell(
        found, f"{person.name} accepts modes and limits of {here.site.name} as its file has them", as_json=as_json
    )
