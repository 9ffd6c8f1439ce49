"""Do dose and soak by their worth help? The loop is closed on the twin's cells, beside the same cells with the recipe.

Cells are decided on with what was measured of those that were graded by then, some nine days after they were filled.
Both arms are the same cells with the same chance. What counts are their true values, at the solution's own prices. The
twin's cells take as long through the soak room whatever the set-point is: the hours are in the bill, not in the pace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from models.optimizer.aim import row_of
from models.optimizer.expected_value import advise
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.reading import Course, no_moves
from models.optimizer.setpoint_search import moved_of
from models.optimizer.spec import OptimizerSpec
from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.setpoint_search import MOST_OUTSIDE_PCT, crossings
from pipelines.optimizers.run_to_run import DAY_S, HOUR_S
from pipelines.optimizers.runs import Floats, Ints, Moves
from pipelines.twin import course as twin
from pipelines.twin.world import World

LEARN_DAYS, CONTROL_DAYS = 30, 14
EVERY_CELL = 4  # of the line's cells one in so many is looked at
DECIDED_EVERY_S = 8 * HOUR_S
_STEP = "formation"  # what is known when a filled and soaked cell enters it


@dataclass(frozen=True)
class Arms:
    """Both arms of one plant over the days with moves: US$ a cell, moves, the last set-points, and what was crossed."""

    seed: int
    fixed: float
    moved: float
    moves: int
    setpoints: dict[str, float]
    missed: dict[str, tuple[float, float]]
    crossed: list[str]


def evaluate(spec: OptimizerSpec, kind: ExpectedValue, ground: Ground) -> Evaluation:
    """Pair the plant whose dose and soak are moved with the one that keeps its recipe, for every seed."""
    if spec.acts_at != _STEP:
        return Evaluation("not_run", "the twin closes this loop over dose and soak of cells that enter formation only")
    arms = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"plant {seed}", no, len(ground.seeds))
        arms.append(_Loop(spec, kind, ground, seed).arms())
    return _judged(ground, arms)


class _Loop:
    """One plant's cells by their number, one in `EVERY_CELL`, at the line's usual pace."""

    def __init__(self, spec: OptimizerSpec, kind: ExpectedValue, ground: Ground, seed: int) -> None:
        self._kind, self._site, self._seed = kind, ground.site, seed
        self._world = World(ground.site, seed, "baseline", 1.0)
        self._cells: Ints = np.arange(
            0, round((LEARN_DAYS + CONTROL_DAYS) * self._world.cells_per_day), EVERY_CELL, dtype=np.int64
        )
        self._at_s: Floats = self._cells / self._world.cells_per_day * DAY_S
        hours = (
            self._world.p("lead.grading_h") + self._world.p("lead.grading_jitter_h") - self._world.p("lead.filling_h")
        )
        self._told_after_s = hours * HOUR_S
        self._moved = [moved_of(ground.site, name, None, "", no_moves(), spec.solution) for name in kind.names]
        self._rows = {name: row_of(ground.site, name, None, spec.solution) for name in self._names}

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys([*self._kind.names, *(one.of for one in self._kind.miss)]))

    def arms(self) -> Arms:
        """Learn, move, make cells; then the truth of both arms."""
        later = self._cells[self._at_s >= LEARN_DAYS * DAY_S]
        before, crossed, made = self._true(later), [], 0
        shown = self._shown(self._cells)
        for now_s in np.arange(LEARN_DAYS * DAY_S, (LEARN_DAYS + CONTROL_DAYS) * DAY_S, DECIDED_EVERY_S):
            found = self._decide(shown, float(now_s))
            if found is None:
                continue
            crossed += found
            made += 1
            fresh = self._at_s >= now_s
            for name, values in self._shown(self._cells[fresh]).items():
                shown[name][fresh] = values
        after = self._true(later)
        return Arms(
            self._seed, self._cost(before), self._cost(after), made,
            {one.row.code: one.setpoint for one in self._moved},
            {one.of: (self._missed(one.of, before), self._missed(one.of, after)) for one in self._kind.miss},
            crossed,
        )  # fmt: skip

    def _shown(self, cells: Ints) -> dict[str, Floats]:
        memo: dict[str, Floats] = {}
        return {name: self._world.shown(row, cells, memo, cells) for name, row in self._rows.items()}

    def _true(self, cells: Ints) -> dict[str, Floats]:
        memo: dict[str, Floats] = {}
        world = self._world
        return {name: world.value(row, world.z(row.code, cells, memo)) for name, row in self._rows.items()}

    def _decide(self, shown: dict[str, Floats], now_s: float) -> list[str] | None:
        """Move what is advised; what that crossed, or None where nothing is moved."""
        seen = self._at_s <= now_s
        graded = self._at_s[seen] + self._told_after_s <= now_s
        values = np.column_stack([shown[name][seen] for name in self._kind.names])
        outcomes = np.column_stack([np.where(graded, shown[one.of][seen], np.nan) for one in self._kind.miss])
        advice = advise(self._kind, self._moved, values, outcomes, self._at_s[seen], now_s)
        if advice.knob < 0:
            return None
        one = self._moved[advice.knob]
        crossed = crossings(one, advice.proposed, now_s)
        for place, other in enumerate(self._moved):
            is_moved = place == advice.knob
            course, size = other.course, advice.proposed - one.setpoint if is_moved else 0.0
            if is_moved:
                course = Course(
                    np.append(course.changed_s, now_s), np.append(course.values, advice.proposed), course.moves
                )
            moves = Moves(course.moves.at_s, course.moves.size).with_one(now_s, size)
            self._moved[place] = replace(other, course=replace(course, moves=moves))
        from_cell = int(self._cells[np.searchsorted(self._at_s, now_s)])
        acting = self._world.course
        so_far = (*acting.moves.get(one.row.code, ()), twin.Move(from_cell, advice.proposed))
        self._world.course = replace(acting, moves={**acting.moves, one.row.code: so_far})
        return crossed

    def _missed(self, name: str, true: dict[str, Floats]) -> float:
        """Share of cells whose true value misses, %."""
        one = next(each for each in self._kind.miss if each.of == name)
        low = -np.inf if one.at_least is None else one.at_least
        high = np.inf if one.at_most is None else one.at_most
        return float(np.mean((true[name] < low) | (true[name] > high)) * 100)

    def _cost(self, true: dict[str, Floats]) -> float:
        """US$ a cell: dose, soak and misses."""
        spent = sum(one.usd_per_unit * float(true[one.of].mean()) for one in self._kind.move)
        return spent + sum(one.usd * self._missed(one.of, true) / 100 for one in self._kind.miss)


def _judged(ground: Ground, arms: list[Arms]) -> Evaluation:
    gain = over_draws([one.fixed - one.moved for one in arms], "plants")
    low, high = cast("float", gain.low), cast("float", gain.high)
    crossed = [f"plant {one.seed}: {text}" for one in arms for text in one.crossed]
    crossed += [
        f"plant {one.seed}: {name}: {after:.1f} % of the cells miss, {before:.1f} % with the recipe"
        for one in arms
        for name, (before, after) in one.missed.items()
        if after > before + MOST_OUTSIDE_PCT
    ]
    told = f"saves {gain.value:.3f} [{low:.3f}, {high:.3f}] US$ a cell of dose, soak and misses, at its own prices"
    names = arms[0].missed
    return Evaluation(
        "working" if low > 0 and not crossed else "failing",
        told + (f"; crossed: {crossed[0]}" if crossed else ""),
        metric="US$ a cell of electrolyte, soak and missed limits",
        value=float(np.mean([one.moved for one in arms])),
        baseline=float(np.mean([one.fixed for one in arms])),
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": "US$ a cell with the recipe less with the moves, Student's t over plants",
            "seeds": list(ground.seeds),
            "gain_by_seed": list(gain.values),
            "days": {"learnt_from": LEARN_DAYS, "moved": CONTROL_DAYS},
            "moves_a_day": float(np.mean([one.moves for one in arms])) / CONTROL_DAYS,
            "missed_pct": {
                name: dict(
                    zip(("fixed", "moved"), np.mean([one.missed[name] for one in arms], axis=0).tolist(), strict=True)
                )
                for name in names
            },
            "last_setpoints": {
                name: float(np.mean([one.setpoints[name] for one in arms])) for name in arms[0].setpoints
            },
            "crossed": crossed,
        },
    )
