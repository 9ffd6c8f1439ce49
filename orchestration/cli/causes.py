"""What the newest actions have in common: two hundred routed cells have a few causes, and those are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from orchestration.cli import console
from orchestration.cli.reasons import spoken, unit_of, units_of
from orchestration.plant import plant
from pipelines.actions.propose import REST_TARGET

_MANY = 100_000
_EXAMPLES = 3
_UNSAID = ""


def show_causes(*, as_json: bool) -> None:
    """Print each solution's newest actions by their leading cause, the most frequent first."""
    from pipelines.actions.decide import list_actions
    from pipelines.lake.connection import reader

    here = plant()
    with reader(here.home) as con:
        found = list_actions(con, limit=_MANY)
    causes = by_cause(found, units_of(here.site))
    if as_json:
        console.tell(causes, "", as_json=True)
        return
    if not causes:
        console.line("no actions were proposed yet")
    shown = None
    for each in causes:
        head = f"{each['solution']}: {each['kind']}, {each['proposed_at']:%Y-%m-%d %H:%M} UTC"
        if head != shown:
            console.heading(head)
        shown = head
        examples = "" if each["cause"] == REST_TARGET else f": {', '.join(each['targets'])}"
        console.line(f"{each['count']:>4}  {_in_words(each)}{examples}")


def by_cause(actions: Iterable[Mapping[str, Any]], units: Mapping[str, str]) -> list[dict[str, Any]]:
    """Group the newest actions of each solution by the feature that speaks most for them.

    Args:
        actions: as `list_actions` gives them.
        units: See `units_of`.

    Returns:
        solution, kind, proposed_at, cause (a feature; empty where the reason names none, `*` for all beyond the limits
        that one action speaks of), unit, count, low and high of
        its value (None for a category or a missing one), values (of a category) and the first targets; one per cause,
        the most frequent of a solution first.
    """
    newest: dict[tuple[str, str], Any] = {}
    groups: dict[tuple[str, str, str], list[tuple[Mapping[str, Any], Any]]] = {}
    for each in actions:
        key = each["solution"], each["kind"]
        if newest.setdefault(key, each["proposed_at"]) == each["proposed_at"]:
            cause, value = (REST_TARGET, None) if each["target_id"] == REST_TARGET else _leading(each["reason"])
            groups.setdefault((*key, cause), []).append((each, value))
    causes = [_told(key, members, units) for key, members in groups.items()]
    return sorted(causes, key=lambda cause: (cause["solution"], cause["kind"], -cause["count"], cause["cause"]))


def _leading(reason: str | None) -> tuple[str, Any]:
    """The feature that raises the score most, a rule's first one, and its value; reasons that are text name none."""
    try:
        parts = json.loads(reason or "")
    except json.JSONDecodeError:
        return _UNSAID, None
    if not isinstance(parts, list) or not parts:
        return _UNSAID, None
    strongest = max(parts, key=lambda part: float(part.get("contribution", 0.0)))
    return str(strongest["feature"]), strongest["value"]


def _told(
    key: tuple[str, str, str], members: list[tuple[Mapping[str, Any], Any]], units: Mapping[str, str]
) -> dict[str, Any]:
    solution, kind, cause = key
    numbers = [float(value) for _, value in members if isinstance(value, int | float)]
    return {
        "solution": solution,
        "kind": kind,
        "proposed_at": members[0][0]["proposed_at"],
        "cause": cause,
        "unit": unit_of(cause, units),
        "count": sum(max(int(action["grouped_count"]), 1) for action, _ in members),
        "low": min(numbers, default=None),
        "high": max(numbers, default=None),
        "values": sorted({value for _, value in members if isinstance(value, str)}),
        "targets": [str(action["target_id"]) for action, _ in members[:_EXAMPLES]],
    }


def _in_words(cause: Mapping[str, Any]) -> str:
    if cause["cause"] == REST_TARGET:
        return "more beyond the site's limits, told as one action"
    if not cause["cause"]:
        return "of no single cause"
    if cause["values"]:
        seen = " or ".join(cause["values"])
    elif cause["low"] is None:
        seen = "is missing"
    else:
        ends = dict.fromkeys([console.figure(cause["low"]), console.figure(cause["high"])])
        seen = f"{' to '.join(ends)} {cause['unit'] if cause['unit'] != '1' else ''}".rstrip()
    return f"{spoken(cause['cause'], cause['unit'])} {seen}"
