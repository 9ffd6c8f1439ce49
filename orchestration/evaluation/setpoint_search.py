"""Does a set-point search help? Its loop is closed on the oven of one section of the twin, beside the fixed recipe.

The models that it asks are learnt as a night would: from the records known at that moment, anew every few days. Both
arms are the same rolls with the same chance. What counts are the set-points, whose cost is the solution's own estimate,
and the true quantities: the twin's meters follow no set-point, so that a saving in kWh cannot be measured on it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.context import ModelContext
from models.evaluation.evaluate import evaluate as evaluate_model
from models.fitting import fit
from models.gates.checks import baseline_gate, calibration_gate
from models.optimizer.aim import row_of
from models.optimizer.reading import Course, no_moves
from models.optimizer.setpoint_models import Asked, cost_of, limits_of
from models.optimizer.setpoint_search import Moved, as_of_now, moved_of
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec
from models.prepare import Prepared, prepare
from models.scoring.runtime import Scorer
from models.spec import PredictiveSpec
from orchestration.catalogue import discover, find
from orchestration.evaluation import loops
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from pipelines.control_plan.plan import Characteristic
from pipelines.lake.home import Home
from pipelines.optimizers.run_to_run import DAY_S, HOUR_S
from pipelines.optimizers.runs import Bools, Floats, Moves
from pipelines.optimizers.setpoint_search import search
from pipelines.twin.section import Electrode

LEARN_DAYS, CONTROL_DAYS, LEARN_EVERY_DAYS = 24, 15, 5
ROLLS_A_DECISION = 8  # about a shift's quarter: the plan's moves an hour are never the limit alone
_ELECTRODE, _STEP = "cathode", "drying"
ORIGIN = datetime(2026, 1, 1)  # noqa: DTZ001 - UTC as everywhere in the lake; of the days only the order counts
_NEVER_S = 1e9
LABORATORY_H = 8.0  # the slowest of a roll's results
MOST_OUTSIDE_PCT = 1.0  # share of rolls beyond a limit by which the moves may exceed the recipe


def evaluate(spec: OptimizerSpec, kind: SetpointSearch, ground: Ground) -> Evaluation:
    """Pair the searched plant with the one that keeps its recipe, for every seed.

    The figure is the mean cost of a roll, 1 with the recipe; the gain is the share saved, with Student's interval over
    the seeds.
    """
    if spec.acts_at != _STEP:
        return Evaluation("not_run", "the twin's section closes this loop at the cathode's oven only")
    specs = discover()
    models = [cast("PredictiveSpec", find(kept.solution, specs)) for kept in kind.keep]
    arms = []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"plant {seed}", no, len(ground.seeds))
        line = ground.section(seed, LEARN_DAYS + CONTROL_DAYS).electrode(_ELECTRODE)
        with tempfile.TemporaryDirectory() as folder:
            arms.append(_Loop(spec, kind, models, ground, line, Path(folder)).arms(seed))
    return _judged(ground, arms)


@dataclass
class Arms:
    """The two arms of one plant over the days with moves.

    Attributes:
        cost: mean cost of a roll with moves, where the recipe's is 1.
        outside: % of the rolls truly beyond a limit, (fixed, moved), of each quantity that the moves changed.
        means: likewise the true mean.
        moves: moves carried out. setpoints: the last ones.
        crossed: sentences, one for each limit, rate or interlock that was crossed.
        reasons: how often each was told.
    """

    seed: int
    cost: float = 1.0
    outside: dict[str, tuple[float, float]] = field(default_factory=dict)
    means: dict[str, tuple[float, float]] = field(default_factory=dict)
    moves: int = 0
    setpoints: dict[str, float] = field(default_factory=dict)
    crossed: list[str] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)


class _Loop:
    """One plant: its records as the platform would have them, the models learnt from them, and the moves."""

    def __init__(
        self,
        spec: OptimizerSpec,
        kind: SetpointSearch,
        models: list[PredictiveSpec],
        ground: Ground,
        line: Electrode,
        folder: Path,
    ) -> None:
        self._kind, self._models, self._ground, self._line, self._folder = kind, models, ground, line, folder
        self._where, self._site = spec.solution, ground.site
        self._rolls = line.rolls("coating")
        self._known_s = self._when_known()
        self._moved = [moved_of(self._site, name, _ELECTRODE, "", no_moves(), spec.solution) for name in kind.move]
        read = [name for model in models for name in (*model.features.select, model.target.column)]
        self._shown = {name: self._of(name) for name in dict.fromkeys([*kind.move, *read])}

    def _when_known(self) -> Floats:
        found = self._line.deliveries("coating", self._rolls)
        known_s = np.full(len(self._rolls), np.inf)
        np.minimum.at(known_s, found["row"], found["known_s"])
        return known_s

    @property
    def _watched(self) -> list[str]:
        """Quantities that are kept, and all others of the product that coater or oven makes and that have a limit."""
        kept = [model.target.column for model in self._models]
        return list(dict.fromkeys([*kept, *(row.name for row in self._site.plan.rows if _is_judged(row))]))

    def _row(self, name: str) -> Characteristic:
        return row_of(self._site, name, _ELECTRODE, self._where)

    def _of(self, name: str) -> Floats:
        return self._line.shown(self._row(name).code, self._rolls, np.arange(len(self._rolls)))

    def arms(self, seed: int) -> Arms:
        """Learn, move, make rolls; then the truth of both arms."""
        rolls, found = self._rolls, Arms(seed)
        first = int(np.searchsorted(rolls.at_s, rolls.at_s[0] + LEARN_DAYS * DAY_S))
        later = np.arange(first, len(rolls))
        fixed = {name: self._true(name, later) for name in self._watched}
        cost = cost_of(self._kind.cost, self._kind.move, np.array([one.nominal for one in self._moved]))
        asked, learnt_s, spent = Asked({}), -np.inf, []
        for start in range(first, len(rolls), ROLLS_A_DECISION):
            now_s = float(rolls.at_s[start - 1])
            if now_s - learnt_s > LEARN_EVERY_DAYS * DAY_S:
                asked, learnt_s = self._learn(now_s, asked), now_s
            self._decide(asked, now_s, start, found)
            made = np.arange(start, min(start + ROLLS_A_DECISION, len(rolls)))
            self._make(made)
            now = np.array([[one.setpoint for one in self._moved]])
            spent += [float(cost(now)[0])] * len(made)
        found.cost = float(np.mean(spent))
        found.setpoints = {one.row.code: one.setpoint for one in self._moved}
        for name, values in fixed.items():
            moved = self._true(name, later)
            if np.array_equal(moved, values):
                continue
            found.outside[name] = (self._outside(name, values), self._outside(name, moved))
            found.means[name] = (float(values.mean()), float(moved.mean()))
        return found

    def _true(self, name: str, rows: np.ndarray) -> Floats:
        return self._line.true(self._row(name).code, self._rolls, rows)

    def _outside(self, name: str, values: Floats) -> float:
        row = self._row(name)
        low = -np.inf if row.lsl is None else row.lsl
        high = np.inf if row.usl is None else row.usl
        return float(np.mean((values < low) | (values > high)) * 100)

    def _make(self, rows: np.ndarray) -> None:
        """What gauges and laboratory show of rolls made at the set-points in force."""
        for name, values in self._shown.items():
            values[rows] = self._line.shown(self._row(name).code, self._rolls, rows)

    def _learn(self, now_s: float, champions: Asked) -> Asked:
        """The champions after a night at this moment: a challenger that passes its gates takes the last one's place."""
        now = ORIGIN + timedelta(seconds=now_s)
        rolls = self._rolls
        known_s = np.where(np.isfinite(self._known_s), self._known_s, _NEVER_S)
        table = pa.table(
            {
                "mother_roll_id": rolls.number.astype(str),
                "slurry_batch_id": rolls.batch.astype(str),
                "shift_code": (rolls.at_s // (8 * HOUR_S) % 3).astype(int).astype(str),
                "ended_at": moments(rolls.at_s),
                "mes__mother_roll_known_at": moments(known_s),
                "lims__roll_result_known_at": moments(known_s + LABORATORY_H * HOUR_S),
                **self._shown,
            }
        )
        file = self._folder / "rolls.parquet"
        pq.write_table(table.filter(pa.array((self._known_s <= now_s) & ~rolls.is_lost)), file)
        ctx = ModelContext(Home(self._folder), self._site, as_of=now, n_threads=1)
        found = dict(champions.scorers)
        for model in self._models:
            own = model.model_copy(update={"table": str(file), "domain": None, "acts_at": None, "only": {}})
            prepared = prepare(own, ctx)
            scorer = fit(own, ctx, prepared).scorer
            if is_promoted(own, prepared, scorer):
                found[model.solution] = scorer
        return Asked(found)

    def _decide(self, asked: Asked, now_s: float, start: int, found: Arms) -> None:
        kind, rolls = self._kind, self._rolls
        if len(asked.scorers) < len(self._models):
            found.reasons["no_model"] = found.reasons.get("no_model", 0) + 1
            return
        seen = np.flatnonzero((self._known_s <= now_s) & ~rolls.is_lost & (rolls.at_s <= now_s))
        seen = seen[rolls.at_s[seen] > now_s - kind.learn_days * DAY_S]
        measured = np.column_stack([self._shown[name][seen] for name in kind.move])
        last = seen[-kind.rows :]
        runs = pa.table({name: pa.array(self._shown[name][last]) for name in asked.columns})
        advice = search(
            [one.knob(now_s) for one in self._moved],
            as_of_now(measured, rolls.at_s[seen], self._moved)[-kind.rows :],
            measured[self._could_learn(asked, rolls.at_s[seen])],
            limits_of(kind, self._site, _ELECTRODE, asked, runs, self._where),
            cost_of(kind.cost, kind.move, np.array([one.nominal for one in self._moved])),
            share=kind.share,
            min_saving=kind.min_saving,
        )
        found.reasons[advice.reason] = found.reasons.get(advice.reason, 0) + 1
        if now_s - float(rolls.at_s[seen[-1]]) > kind.max_age_h * HOUR_S or advice.knob < 0:
            return
        self._carry_out(advice.knob, advice.proposed, now_s, start, found)

    def _could_learn(self, asked: Asked, at_s: Floats) -> Bools:
        until = asked.trained_until
        if until is None:
            return np.ones(len(at_s), dtype=bool)
        until_s = (until - np.datetime64(ORIGIN, "us")) / np.timedelta64(1, "s")
        found: Bools = at_s <= until_s
        return found

    def _carry_out(self, knob: int, value: float, now_s: float, start: int, found: Arms) -> None:
        one = self._moved[knob]
        found.crossed += crossings(one, value, now_s)
        found.moves += 1
        self._moved = after_move(self._moved, knob, value, now_s)
        self._line.move(one.row.code, self._rolls, start, value)


def _is_judged(row: Characteristic) -> bool:
    """Whether it is a product characteristic that coater or oven makes, with a limit."""
    made = row.step in ("coating", "drying") and row.variant == _ELECTRODE
    return made and row.entity == "mother_roll" and row.type == "product" and (row.lsl, row.usl) != (None, None)


def is_promoted(spec: PredictiveSpec, prepared: Prepared, scorer: Scorer) -> bool:
    """Whether a first model would pass the gates that say whether it is any good."""
    rows = prepared.split.holdout
    found = evaluate_model(spec, prepared, scorer, rows)
    groups = prepared.order.group[rows]
    gate = baseline_gate(spec, prepared.labels.classes, found, groups)
    return gate.passed and calibration_gate(spec, found.outputs, found.metrics).passed


def moments(plant_s: Floats) -> np.ndarray:
    """Plant seconds as moments of a calendar of their own."""
    found: np.ndarray = np.datetime64(ORIGIN, "us") + (plant_s * 1e6).astype("timedelta64[us]")
    return found


def crossings(one: Moved, value: float, now_s: float) -> list[str]:
    """What a move would cross, from the plan and the moves so far and not from what was meant."""
    row, moves = one.row, one.course.moves
    size = abs(value - one.setpoint)
    found = []
    if value < (row.lsl or -np.inf) - 1e-9 or value > (row.usl or np.inf) + 1e-9:
        found.append(f"{row.code}: a set-point outside the specification")
    if size > (row.move_max or 0.0) * (1 + 1e-9):
        found.append(f"{row.code}: a move larger than allowed")
    spent = float(np.abs(moves.size[moves.at_s > now_s - HOUR_S]).sum())
    if size + spent > (row.move_rate_per_h or 0.0) * (1 + 1e-9):
        found.append(f"{row.code}: more within an hour than allowed")
    return found


def after_move(moved: Sequence[Moved], knob: int, value: float, now_s: float) -> list[Moved]:
    """The set-points of a machine once one of them was moved; the machine's moves count for all of them."""
    found = []
    for place, other in enumerate(moved):
        course = other.course
        size = value - moved[knob].setpoint if place == knob else 0.0
        if place == knob:
            course = Course(np.append(course.changed_s, now_s), np.append(course.values, value), course.moves)
        moves = Moves(course.moves.at_s, course.moves.size).with_one(now_s, size)
        found.append(replace(other, course=replace(course, moves=moves)))
    return found


def _mean(each: list[dict[str, tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """Mean over the plants in which the moves changed a quantity, of both arms."""
    names = list(dict.fromkeys(name for one in each for name in one))
    pairs = {name: np.mean([one[name] for one in each if name in one], axis=0) for name in names}
    return {name: {"fixed": float(pair[0]), "moved": float(pair[1])} for name, pair in pairs.items()}


def _judged(ground: Ground, arms: list[Arms]) -> Evaluation:
    outside, means = (_mean([getattr(one, name) for one in arms]) for name in ("outside", "means"))
    crossed = [
        f"{name}: {pair['moved']:.1f} % of the rolls beyond a limit, {pair['fixed']:.1f} % with the recipe"
        for name, pair in outside.items()
        if pair["moved"] > pair["fixed"] + MOST_OUTSIDE_PCT
    ]
    return loops.judged(
        ground,
        arms,
        [1 - one.cost for one in arms],
        lambda gain: f"saves {gain} of the recipe's cost, by the solution's own estimate of it",
        of=("cost of a roll by its set-points, share of the recipe's", "the recipe's cost"),
        crossed=crossed,
        days={"learnt_from": LEARN_DAYS, "moved": CONTROL_DAYS, "learnt_anew_every": LEARN_EVERY_DAYS},
        figures={
            "outside_pct": outside,
            "mean": means,
            "last_setpoints": {
                name: float(np.mean([one.setpoints[name] for one in arms])) for name in arms[0].setpoints
            },
        },
    )
