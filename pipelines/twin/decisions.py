"""What people and the platform decide about the plant: set-points, maintenance, holds and the schedule, day by day."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from pipelines.control_plan.errors import MAX_SHOWN_PROBLEMS, CellworksError, Problem
from pipelines.control_plan.feeds import Model
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.control_plan.yaml_file import line_of, parse_yaml, reason_and_mend

LINE = "line"
_ENTITY = re.compile(r"^(?:(?P<material>[a-z_]+)-(?P<lot>\d{5,})|(?P<electrode>[CA])(?P<kind>[BR])(?P<number>\d{6,}))$")


class _Decision(Model):
    """A decision takes effect at a local time of a production day; without `at`, when the day begins."""

    day: date
    at: time | None = None


class SetPoint(_Decision):
    """From now on the line aims at `value`, in the unit of the plan; with a machine, on that machine alone.

    Of a set-point that a machine has at each of its positions, as the bolts of a die, `position_no` names one; without
    it all of them are set.
    """

    kind: Literal["setpoint"]
    code: str
    value: float
    machine_id: str | None = None
    position_no: int | None = None


class Maintenance(_Decision):
    """The machine stops for planned maintenance: its wear and its worn tools are as new afterwards."""

    kind: Literal["maintenance"]
    machine_id: str


class Hold(_Decision):
    """A material lot, slurry batch or mother roll is no longer used; another one takes its place."""

    kind: Literal["hold"]
    entity_id: str


class Schedule(_Decision):
    """A machine, or `line` for all that count into the OEE, stops or starts as planned."""

    kind: Literal["schedule"]
    machine_id: str
    is_running: bool


Decision = SetPoint | Maintenance | Hold | Schedule


class _One(Model):
    decision: Annotated[Decision, Field(discriminator="kind")]


def read_decisions(file: Path, site: Site) -> tuple[Decision, ...]:
    """Read a YAML (or JSON) file with a list `decisions`.

    Raises:
        CellworksError: the file cannot be read, or anything wrong in it, with file, line, field and what was expected.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CellworksError(
            "the decisions cannot be read", where=str(file), found=str(error), mend="name a YAML file"
        ) from error
    data = parse_yaml(text, file.parent, file.name)
    entries = data.get("decisions")
    if set(data) != {"decisions"} or not isinstance(entries, list):
        reason = f"expected one key `decisions` with a list, found {', '.join(map(str, data)) or 'nothing'}"
        raise _refusal([Problem(file.name, 1, "decisions", reason)])
    problems: list[Problem] = []
    decisions: list[Decision] = []
    for no, entry in enumerate(entries):
        problems += _entry(entry, no, text, file.name, site, decisions)
    if problems:
        raise _refusal(problems)
    return tuple(decisions)


def _refusal(problems: Sequence[Problem]) -> CellworksError:
    shown = [f"  {problem}" for problem in problems[:MAX_SHOWN_PROBLEMS]]
    hidden = len(problems) - len(shown)
    return CellworksError(
        "\n".join(["decisions that the plant cannot follow", *shown, *([f"  ... and {hidden} more"] if hidden else [])])
    )


def _entry(entry: Any, no: int, text: str, file: str, site: Site, decisions: list[Decision]) -> list[Problem]:
    try:
        decision = _One.model_validate({"decision": entry}).decision
    except ValidationError as error:
        return [_problem(detail, no, text, file) for detail in error.errors(include_url=False)]
    decisions.append(decision)
    return [
        Problem(file, line_of(text, ("decisions", no, field)), f"decisions.{no}.{field}", reason)
        for field, reason in findings(decision, site)
    ]


def _problem(detail: Any, no: int, text: str, file: str) -> Problem:
    # Below the entry, pydantic's path has its kind before the field: the file has no such level.
    path = ["decisions", no, *detail["loc"][2:]]
    return Problem(file, line_of(text, path), ".".join(map(str, path)), *reason_and_mend(detail))


def checked(decisions: Sequence[Decision], site: Site) -> tuple[Decision, ...]:
    """Decisions given by a program.

    Raises:
        CellworksError: one that the plant cannot follow.
    """
    for no, decision in enumerate(decisions):
        for field, reason in findings(decision, site):
            raise CellworksError("a decision is wrong", where=f"decisions.{no}.{field}", found=reason)
    return tuple(decisions)


def plain(decision: Decision) -> dict[str, Any]:
    """A decision as JSON has it."""
    return decision.model_dump(mode="json", exclude_none=True)


def decision_of(entry: dict[str, Any]) -> Decision:
    """A decision from JSON."""
    return _One.model_validate({"decision": entry}).decision


def findings(decision: Decision, site: Site) -> Iterator[tuple[str, str]]:
    """Field and reason of whatever the plant of this site cannot follow."""
    if decision.day < site.start_day:
        yield "day", f"expected {site.start_day} or later, found {decision.day}"
    if isinstance(decision, SetPoint):
        yield from _setpoint(decision, site)
    elif isinstance(decision, Hold):
        if held_entity(decision.entity_id, site) is None:
            found = f"found {decision.entity_id!r}"
            yield "entity_id", f"expected a material lot (lfp-00012), a batch (CB000012) or a roll (AR000123), {found}"
    else:
        yield from _machine(decision.machine_id, site, is_line_known=isinstance(decision, Schedule))


def _setpoint(decision: SetPoint, site: Site) -> Iterator[tuple[str, str]]:
    row = site.plan.by_code.get(decision.code)
    if row is None or not row.is_setpoint:
        known = ", ".join(sorted(each.code for each in site.plan.rows if each.is_setpoint))
        yield "code", f"expected a set-point of the control plan ({known}), found {decision.code!r}"
        return
    if not row.physical_min <= decision.value <= row.physical_max:
        span = f"{row.physical_min:g} to {row.physical_max:g} {row.unit}"
        yield "value", f"expected {span}, found {decision.value:g}"
    if decision.machine_id is not None:
        able = [each.id for each in site.machines(row.machine_class) if each.variant in ("", row.variant)]
        if decision.machine_id not in able:
            yield "machine_id", f"expected one of {', '.join(able)}, found {decision.machine_id!r}"
    if decision.position_no is not None:
        count = positions_of(row, site)
        if not 1 <= decision.position_no <= count:
            span = f"1 to {count}" if count else f"none: {row.code} has no positions"
            yield "position_no", f"expected {span}, found {decision.position_no}"


def positions_of(row: Characteristic, site: Site) -> int:
    """Positions of a machine at which a characteristic is told, one by one; 0 where it is told of the machine."""
    keys = site.feeds[row.feed].keys
    of_machine = site.machines(row.machine_class)[0].positions_by_name if row.machine_class else {}
    return next((count for name, count in of_machine.items() if f"{name}_no" in keys), 0)


def _machine(machine_id: str, site: Site, *, is_line_known: bool) -> Iterator[tuple[str, str]]:
    if machine_id in site.machines_by_id or (is_line_known and machine_id == LINE):
        return
    also = f", or `{LINE}`" if is_line_known else ""
    yield "machine_id", f"expected a machine of site.yaml such as stacker_1{also}, found {machine_id!r}"


def held_entity(entity_id: str, site: Site) -> tuple[str, int] | None:
    """Level and number of what a hold names, such as (`lot:lfp`, 12) or (`cathode_roll`, 3); None when it is none."""
    match = _ENTITY.match(entity_id)
    if match is None:
        return None
    if match["material"]:
        materials = {row.variant for row in site.plan.rows if row.entity == "material_lot"}
        return (f"lot:{match['material']}", int(match["lot"])) if match["material"] in materials else None
    electrode = "cathode" if match["electrode"] == "C" else "anode"
    return f"{electrode}_{'batch' if match['kind'] == 'B' else 'roll'}", int(match["number"])
