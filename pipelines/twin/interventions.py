"""Decisions at work: from which cell on they act, and which machines they stop."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from pipelines.control_plan.errors import CellworksError
from pipelines.twin.clock import HOUR
from pipelines.twin.course import Course, Move
from pipelines.twin.decisions import (
    LINE,
    Decision,
    Hold,
    Maintenance,
    Schedule,
    SetPoint,
    decision_of,
    held_entity,
    plain,
)
from pipelines.twin.table import Floats
from pipelines.twin.world import World

Span = tuple[float, float]


@dataclass(frozen=True)
class Taken:
    """A decision that was taken in, and the first cell that it acts on; None as long as there is no such cell."""

    decision: Decision
    from_cell: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For the plant's state."""
        return {"decision": plain(self.decision), "from_cell": self.from_cell}

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Taken:
        """From the plant's state."""
        return cls(decision_of(entry["decision"]), entry["from_cell"])


class Interventions:
    """All decisions of a plant in the order in which they take effect.

    Args:
        world: the plant.
        taken: decisions, as far as known.
    """

    def __init__(self, world: World, taken: Iterable[Taken]) -> None:
        self._world = world
        self.taken = sorted(taken, key=lambda each: self._at(each.decision))

    def _at(self, decision: Decision) -> float:
        return self._world.clock.seconds_at(decision.day, decision.at)

    def services(self, machine_id: str) -> list[Span]:
        """Planned maintenance of a machine: from, until, in plant seconds."""
        length = self._world.p("maintenance.duration_h") * HOUR
        return [
            (self._at(each.decision), self._at(each.decision) + length)
            for each in self.taken
            if isinstance(each.decision, Maintenance) and each.decision.machine_id == machine_id
        ]

    def setpoints(self, code: str, machine_id: str) -> list[tuple[float, float]]:
        """Moves of a set-point that follows the clock and not the cells: when, in plant seconds, and the new value."""
        return [
            (self._at(each.decision), each.decision.value)
            for each in self.taken
            if isinstance(each.decision, SetPoint)
            and each.decision.code == code
            and each.decision.machine_id in (None, machine_id)
        ]

    def stops(self, machine_id: str) -> list[Span]:
        """Spans in which the schedule lets a machine stand; the last may have no end."""
        spans: list[Span] = []
        since: float | None = None
        for decision in (each.decision for each in self.taken):
            if not isinstance(decision, Schedule) or decision.machine_id not in (machine_id, LINE):
                continue
            at = self._at(decision)
            if decision.is_running and since is not None:
                spans.append((since, at))
            since = None if decision.is_running else (since if since is not None else at)
        return spans if since is None else [*spans, (since, float("inf"))]

    def settle(self, first_cell: int, stacked_s: Floats, end_s: float) -> None:
        """Find from which cell on the decisions act that have none yet.

        Args:
            first_cell: number of the first cell whose life isn't over.
            stacked_s: plant seconds at which it and its followers were stacked.
            end_s: end of the day simulated; later decisions wait.
        """
        for no, each in enumerate(self.taken):
            at = self._at(each.decision)
            offset_h = self._offset_h(each.decision)
            if each.from_cell is not None or offset_h is None or at >= end_s:
                continue
            index = int(np.searchsorted(stacked_s, at - offset_h * HOUR))
            if index < len(stacked_s):
                self.taken[no] = replace(each, from_cell=first_cell + index)

    def _offset_h(self, decision: Decision) -> float | None:
        """Hours from a cell's stacking to the moment at which a decision of this kind would act on it."""
        world = self._world
        if isinstance(decision, SetPoint):
            row = world.site.plan.by_code[decision.code]
            return offset_h(world, world.level(row), row.step)
        if isinstance(decision, Hold):
            entity = held_entity(decision.entity_id, world.site)
            return use_offset_h(world, entity[0]) if entity else None
        if isinstance(decision, Maintenance):
            tools = [each for each in world.site.plan.rows if is_tool(world, each.code, decision.machine_id)]
            return offset_h(world, world.level(tools[0]), tools[0].step) if tools else None
        return None

    def course(self, course: Course) -> Course:
        """The course with what the settled decisions add to it."""
        moves: dict[str, tuple[Move, ...]] = {}
        holds: dict[str, tuple[tuple[int, int], ...]] = {}
        services: dict[str, tuple[int, ...]] = {}
        for each in self.taken:
            decision, start = each.decision, each.from_cell
            if start is None:
                continue
            if isinstance(decision, SetPoint):
                move = Move(start, decision.value, _machine_no(self._world, decision), decision.position_no)
                moves[decision.code] = (*moves.get(decision.code, ()), move)
            elif isinstance(decision, Maintenance):
                services[decision.machine_id] = (*services.get(decision.machine_id, ()), start)
            elif isinstance(decision, Hold) and (entity := held_entity(decision.entity_id, self._world.site)):
                holds[entity[0]] = (*holds.get(entity[0], ()), (entity[1], start))
        return replace(course, moves=moves, holds=holds, services=services)


def is_tool(world: World, code: str, machine_id: str) -> bool:
    """Whether a machine's maintenance brings a new tool for a characteristic."""
    row = world.site.plan.by_code.get(code)
    return row is not None and bool(world.node(code).wear) and machine_id in world.machines(row)


def offset_h(world: World, level: str, step: str) -> float:
    """Hours from a cell's stacking to the step at which what it is made of is, or was, worked on."""
    p = world.p
    if level.endswith("_batch"):
        return -p("lead.batch_h") - p("lead.mixing_h")
    if level.endswith("_roll"):
        return -p("lead.calender_h") if step == "calendering" else -p("lead.roll_h")
    if level.endswith("_lane"):
        return -p("lead.daughter_h")
    later = {
        "tab_welding": p("lead.assembly_h"),
        "sealing": p("lead.assembly_h"),
        "leak_test": p("lead.assembly_h"),
        "baking": p("lead.filling_h") - p("lead.baking_h"),
        "filling": p("lead.filling_h"),
        "wetting": p("lead.filling_h"),
        "formation": p("lead.formation_h") - p("lead.charging_h"),
        "degassing": p("lead.formation_h"),
        "ageing": p("lead.formation_h"),
        "grading": p("lead.grading_h"),
    }
    return later.get(step, 0.0)


def use_offset_h(world: World, level: str) -> float:
    """Hours from a cell's stacking to the moment at which a lot, batch or roll is taken out of its store for it."""
    if level.endswith("_roll") or level == "lot:separator":
        return 0.0
    if level.endswith(("_batch", "_foil")):
        return -world.p("lead.roll_h")
    if level in ("lot:can", "lot:cap"):
        return world.p("lead.assembly_h")
    if level == "lot:electrolyte":
        return world.p("lead.filling_h")
    return -world.p("lead.batch_h") - world.p("lead.mixing_h")


def _machine_no(world: World, decision: SetPoint) -> int | None:
    if decision.machine_id is None:
        return None
    return world.machines(world.site.plan.by_code[decision.code]).index(decision.machine_id)


def taken_in(known: list[Taken], given: Iterable[Decision], next_day: date) -> list[Taken]:
    """Known decisions and the new ones among those given.

    The same file may be given again day by day: what is known already stays as it is.

    Raises:
        CellworksError: a new decision for a day that is over.
    """
    seen = {json.dumps(plain(each.decision), sort_keys=True) for each in known}
    new = [each for each in given if json.dumps(plain(each), sort_keys=True) not in seen]
    for each in new:
        if each.day < next_day:
            raise CellworksError(
                "a decision comes too late: its production day is over",
                expected=f"{next_day} or later",
                found=str(plain(each)),
                mend="decide for a day that is still to come; what happened stays as it was",
            )
    return [*known, *(Taken(each) for each in new)]
