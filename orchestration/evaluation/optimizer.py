"""Does an optimiser help? Its loop is closed on one section of the twin, beside the same plant with its fixed recipe.

The controller is fitted to the days before and sees records when the platform would: what is late is late. Both arms
are the same rolls with the same chance, so the difference is the controller's. What counts are the true values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from models.optimizer.aim import Aim, aim_of
from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.design_spec import CellDesign
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.plan_spec import PlanPart
from models.optimizer.profile_spec import ProfileControl
from models.optimizer.recipe_spec import RecipeTransfer
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import Kind, OptimizerSpec, RunToRun
from models.solution import SolutionSpec
from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation import designs, dry_room, filling, plans, profile, recipes, setpoint_search, trials
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.run_to_run_ceiling import ceilings
from pipelines.control_plan.errors import CellworksError
from pipelines.optimizers.loop import Course, Deliveries, close_loop, fit
from pipelines.optimizers.run_to_run import DAY_S, HOUR_S, Law, Tuning
from pipelines.optimizers.runs import Bools, Feed, Floats, Ints, Runs
from pipelines.twin.section import Electrode, Rolls, Step

CONTROL_DAYS = 14
ELECTRODES = ("cathode", "anode")
_BATCHES, _ROLLS = "marts.slurry_batch", "marts.mother_roll"
_SCRAP_KNOWN_S = 600.0


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Pair the controlled plant with the one that keeps its recipe, for every seed and electrode; a plan: `plans`.

    The figure is the root mean square of the deviation from target; the gain is the share of it that the controller
    takes away, the mean over the electrodes' machines, with Student's interval over the seeds.
    """
    found = cast("OptimizerSpec", spec)
    kind = found.optimizer
    if not isinstance(kind, RunToRun):
        return _by_kind(found, kind, ground)
    if spec.acts_at not in ("coating", "calendering") or kind.fed is None or kind.fed.table not in (_BATCHES, _ROLLS):
        return Evaluation("not_run", "the twin closes this loop at coater and calender only, fed from their own marts")
    arms = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"plant {seed}", no, len(ground.seeds))
        arms += [_arms(found, kind, ground, seed, electrode) for electrode in ELECTRODES]
    return _judged(kind, ground, arms)


def _by_kind(found: OptimizerSpec, kind: Kind, ground: Ground) -> Evaluation:
    """What closes the loop of each kind; the set-points of the dry rooms move meters and air, not rolls."""
    if isinstance(kind, Bayesian):
        return trials.evaluate(kind, ground)
    if isinstance(kind, CellDesign):
        return designs.evaluate(kind, ground)
    of_setpoints = dry_room.evaluate if found.acts_at == dry_room.STEP else setpoint_search.evaluate
    by_kind: dict[type, Callable[[OptimizerSpec, Any, Ground], Evaluation]] = {
        PlanPart: plans.evaluate,
        SetpointSearch: of_setpoints,
        ProfileControl: profile.evaluate,
        ExpectedValue: filling.evaluate,
        RecipeTransfer: recipes.evaluate,
    }
    return next(each for known, each in by_kind.items() if isinstance(kind, known))(found, kind, ground)


@dataclass(frozen=True)
class Arms:
    """The two arms of one machine in one plant.

    Attributes:
        seed: of the plant. electrode: of the machine.
        fixed: true values over the controlled days with the recipe's set-point; `controlled` with the controller.
        aim: target and limits.
        moves: moves carried out. crossed: sentences, one for each limit that was crossed.
        ceiling: shares that hindsight could take away, without limits and within them; None where it cannot tell.
    """

    seed: int
    electrode: str
    fixed: Floats
    controlled: Floats
    aim: Aim
    moves: int
    crossed: list[str]
    ceiling: tuple[float, float] | None = None

    def deviation_pct(self, values: Floats) -> float:
        """Root mean square of the deviation from target, % of target."""
        return float(np.sqrt(np.mean((values - self.aim.target) ** 2)) / self.aim.target * 100)

    @property
    def gain(self) -> float:
        """Share of the deviation that the controller takes away."""
        return 1 - self.deviation_pct(self.controlled) / self.deviation_pct(self.fixed)

    def inside_pct(self, values: Floats) -> float:
        """Share within the specification, %."""
        low, high = self.aim.held.lsl, self.aim.held.usl
        within = (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
        return float(within.mean() * 100)


def _arms(spec: OptimizerSpec, kind: RunToRun, ground: Ground, seed: int, electrode: str) -> Arms:
    step = cast("Step", spec.acts_at)
    aim = aim_of(ground.site, kind, electrode, spec.solution)
    able = [each.id for each in ground.site.machines(aim.moved.machine_class) if each.variant in ("", electrode)]
    if len(able) != 1:
        raise CellworksError("a section is of one machine", expected="one", found=", ".join(able), where=spec.solution)
    days = round(kind.learn_days) + CONTROL_DAYS
    line = ground.section(seed, days).electrode(electrode)
    rolls = line.rolls(step)
    runs, feed, deliveries = seen_of(line, step, kind, aim)
    first = int(np.searchsorted(rolls.at_s, rolls.at_s[0] + kind.learn_days * DAY_S))
    controlled = np.arange(first, len(rolls))
    fixed = line.true(aim.held.code, rolls, controlled)
    now_s = float(rolls.at_s[first]) - kind.dead_time_s
    given = kind.gain.value if kind.gain else None
    fitted = fit(
        runs.take(runs.known_s <= now_s), feed, aim.guards, aim.target,
        dead_time_s=kind.dead_time_s, drift_weight=kind.drift_weight, given_gain=given,
    )  # fmt: skip

    def drive(law: Law, tuning: Tuning) -> tuple[Floats, Course]:
        plant = _Plant(ground.section(seed, days).electrode(electrode), rolls, aim)
        course = close_loop(runs, feed, deliveries, first, (law, tuning, aim.guards), kind.dead_time_s, plant.run)
        return np.array(plant.true), course

    ceiling = ceilings(
        runs, feed, first, fixed, aim.target, kind.dead_time_s, lambda law, tuning: drive(law, tuning)[0]
    )
    if fitted is None or not fitted.helps:
        return Arms(seed, electrode, fixed, fixed, aim, 0, [], ceiling)
    controlled_true, course = drive(fitted.law, fitted.tuning)
    crossed = crossings(course, aim, kind, first)
    return Arms(seed, electrode, fixed, controlled_true, aim, len(course.moves.at_s), crossed, ceiling)


def seen_of(line: Electrode, step: Step, kind: RunToRun, aim: Aim) -> tuple[Runs, Feed, Deliveries]:
    """What the platform's tables tell of a section with the recipe's set-points, and when each record is known."""
    rolls = line.rolls(step)
    every = np.arange(len(rolls))
    found = line.deliveries(step, rolls)
    deliveries = Deliveries(found["row"], found["known_s"], found["factor"])
    known_s = np.full(len(rolls), np.inf)
    np.minimum.at(known_s, deliveries.run, deliveries.known_s)
    feed, item = _fed(line, rolls, kind)
    measured, moved = (line.shown(row.code, rolls, every) for row in (aim.held, aim.moved))
    return Runs(rolls.at_s, known_s, measured, moved, np.full(len(rolls), aim.nominal), item), feed, deliveries


def _fed(line: Electrode, rolls: Rolls, kind: RunToRun) -> tuple[Feed, Ints]:
    """What feeds the step, and which item each roll was made of."""
    fed = kind.fed
    codes = [f"{line.name}_{column}" for column in fed.columns] if fed else []
    if fed and fed.table == _BATCHES:
        batches = line.batches()
        values = np.column_stack([line.batch_values(code, batches) for code in codes])
        feed = Feed(batches.ready_s, batches.known_s, values, batches.gone_s)
        return feed, _places(batches.number, np.isinf(batches.gone_s), rolls.batch)
    coated = line.rolls("coating")
    every = np.arange(len(coated))
    values = np.column_stack([line.shown(code, coated, every) for code in codes])
    records = line.deliveries("coating", coated)
    known_s = np.full(len(coated), np.inf)
    known_s[records["row"]] = records["known_s"]
    gone_s = np.where(coated.is_lost, coated.at_s + _SCRAP_KNOWN_S, np.inf)
    return Feed(coated.at_s, known_s, values, gone_s), _places(coated.number, ~coated.is_lost, rolls.number)


def _places(numbers: Ints, is_used: Bools, wanted: Ints) -> Ints:
    """Positions of numbered items that are used, in the order of the feed."""
    used = np.flatnonzero(is_used)
    order = used[np.argsort(numbers[used])]
    found: Ints = order[np.searchsorted(numbers[order], wanted)]
    return found


class _Plant:
    """The section as a loop sees it: a set-point goes in, what gauges show comes out; the truth is kept."""

    def __init__(self, line: Electrode, rolls: Rolls, aim: Aim) -> None:
        self._line, self._rolls, self._aim = line, rolls, aim
        self._setpoint = aim.nominal
        self.true: list[float] = []

    def run(self, roll: int, setpoint: float) -> tuple[float, float]:
        """Make a roll at a set-point."""
        line, rolls, row = self._line, self._rolls, np.array([roll])
        if setpoint != self._setpoint:
            line.move(self._aim.moved.code, rolls, roll, setpoint)
            self._setpoint = setpoint
        self.true.append(float(line.true(self._aim.held.code, rolls, row)[0]))
        measured, moved = (float(line.shown(one.code, rolls, row)[0]) for one in (self._aim.held, self._aim.moved))
        return measured, moved


def crossings(course: Course, aim: Aim, kind: RunToRun, first: int) -> list[str]:
    """Limits, rates and interlocks that a loop crossed, worked out from what was set and not from what was meant."""
    moved, moves = aim.moved, course.moves
    low, high = (moved.lsl, moved.usl)
    setpoints = course.runs.setpoint[first:]
    size = np.abs(moves.size)
    found = []
    if np.any(setpoints < (low or -np.inf) - 1e-9) or np.any(setpoints > (high or np.inf) + 1e-9):
        found.append("a set-point outside the specification")
    if np.any(size > (moved.move_max or 0.0) * (1 + 1e-9)):
        found.append("a move larger than allowed")
    for no, at_s in enumerate(moves.at_s):
        if size[(moves.at_s > at_s - HOUR_S) & (moves.at_s <= at_s)].sum() > (moved.move_rate_per_h or 0.0) * (
            1 + 1e-9
        ):
            found.append(f"move {no}: more within an hour than allowed")
        known = course.runs.at_s[course.runs.known_s <= at_s]
        if not len(known) or at_s - known.max() > kind.max_age_h * HOUR_S:
            found.append(f"move {no}: on a stale measurement")
    return found


def _judged(kind: RunToRun, ground: Ground, arms: Sequence[Arms]) -> Evaluation:
    by_seed = [float(np.mean([one.gain for one in arms if one.seed == seed])) for seed in ground.seeds]
    gain = over_draws(by_seed, "plants")
    low, high = cast("float", gain.low), cast("float", gain.high)
    crossed = [text for one in arms for text in one.crossed]
    fixed = float(np.mean([one.deviation_pct(one.fixed) for one in arms]))
    controlled = float(np.mean([one.deviation_pct(one.controlled) for one in arms]))
    works = low > 0 and not crossed
    told = f"takes {gain.value:.1%} [{low:.1%}, {high:.1%}] of the fixed recipe's deviation from target away"
    if crossed:
        told += f"; crossed: {crossed[0]}"
    return Evaluation(
        "working" if works else "failing",
        told,
        metric=f"{kind.hold}: root mean square of the deviation from target, % of target",
        value=controlled,
        baseline=fixed,
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": "share of the fixed recipe's deviation taken away, Student's t over plants",
            "seeds": list(ground.seeds),
            "gain_by_seed": by_seed,
            "gain_by_electrode": {
                name: float(np.mean([one.gain for one in arms if one.electrode == name])) for name in ELECTRODES
            },
            "ceiling": _ceiling(arms),
            "days": {"learnt_from": kind.learn_days, "controlled": CONTROL_DAYS},
            "rolls": int(np.mean([len(one.fixed) for one in arms])),
            "moves_a_day": float(np.mean([one.moves for one in arms])) / CONTROL_DAYS,
            "inside_pct": {
                "fixed": float(np.mean([one.inside_pct(one.fixed) for one in arms])),
                "controlled": float(np.mean([one.inside_pct(one.controlled) for one in arms])),
            },
            "crossed": crossed,
        },
    )


def _ceiling(arms: Sequence[Arms]) -> dict[str, float]:
    """Mean over the machines of what hindsight could take away; where it cannot tell, nothing."""
    told = np.array([one.ceiling or (0.0, 0.0) for one in arms])
    return {"without_limits": float(told[:, 0].mean()), "within_limits": float(told[:, 1].mean())}
