"""Profile control as answers: for each actuator of a machine where it stands, where it should, and what that brings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.optimizer.aim import moved_by, row_of
from models.optimizer.profile_spec import ProfileControl
from models.optimizer.reading import Course, course_of, each, floats, past_moves, physical, variant_sql
from models.optimizer.run_to_run import number, seconds
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers.profile import Advice, Bounds, Law, Prior, Rows, advise, learn
from pipelines.optimizers.run_to_run import HOUR_S, Guards, reach_of
from pipelines.optimizers.runs import Floats

_SAID = {
    "move": "move it",
    "stay": "others are moved",
    "on_target": "no allowed moves take enough of the unevenness away",
    "at_limit": "limits or resolution leave no move that takes enough of the unevenness away",
    "wait": "they were moved as often as is allowed",
    "stale": "nothing measured lately",
    "unstable": "the newest run is far from what was expected",
    "setpoint_unknown": "an actuator does not stand where it was set",
    "too_few": "too few whole runs to learn from",
}
_STRAY_SIGMA = 6.0


@dataclass(frozen=True)
class Machine:
    """A machine after its newest run.

    Attributes:
        name: of the machine. at_s: when its newest run ended. run: the key columns of that run, without the actuator.
        targets: name of each actuator, shape (k,).
        row: the set-point's row of the plan. guards: what no move may cross. courses: of each actuator.
        known: past runs. stood: where the actuators were measured in the newest run, shape (k,).
    """

    name: str
    at_s: float
    run: dict[str, Any]
    targets: Sequence[str]
    row: Characteristic
    guards: Guards
    courses: Sequence[Course]
    known: Rows
    stood: Floats

    @property
    def setpoint(self) -> Floats:
        """In force now, shape (k,)."""
        return np.array([float(one.values[-1]) for one in self.courses])

    def reach(self, now_s: float) -> Floats:
        """How far each actuator may be moved now, shape (k,)."""
        return np.array([max(reach_of(self.guards, now_s, one.moves), 0.0) for one in self.courses])

    @property
    def strays(self) -> bool:
        """Whether an actuator was measured elsewhere than where it was set."""
        error = max(self.row.gauge_sd, self.row.resolution)
        return bool(np.any(np.abs(self.stood - self.known.setpoint[-1]) > _STRAY_SIGMA * error))


@dataclass(frozen=True)
class Answer:
    """A machine, what was learnt of it, the advice, and the reason that is told."""

    machine: Machine
    law: Law | None
    advice: Advice
    reason: str

    @property
    def proposed(self) -> Floats:
        """Set-point of each actuator, shape (k,); that in force where nothing is moved."""
        return self.advice.proposed if self.reason == "move" else self.machine.setpoint

    @property
    def moves(self) -> Floats:
        """How far each is moved, shape (k,)."""
        return self.proposed - self.machine.setpoint

    @property
    def reasons(self) -> list[str]:
        """Of each actuator."""
        return [self.reason if size or self.reason != "move" else "stay" for size in self.moves]


def answer(spec: OptimizerSpec, kind: ProfileControl, ctx: ModelContext, now: datetime) -> RuleAnswers | None:
    """The advice for each actuator at the plant's now; None before anything has run.

    Raises:
        CellworksError: there is no site, the plan does not allow the moves, or a column is missing.
    """
    if ctx.site is None:
        raise CellworksError(f"{spec.solution} needs a control plan", expected="a site", found="none")
    with open_tables(ctx, spec.table) as tables:
        tables.columns_with(spec.table, spec.named_columns, spec.solution)
        rows = tables.arrow(_runs_sql(spec, kind, tables), [now - timedelta(days=kind.learn_days), now])
    past, found = past_moves(ctx, now), []
    for name, own in each(rows, "machine"):
        machine = _machine(spec, kind, ctx.site, name, own, past)
        if machine is not None:
            found.append(_advised(kind, machine, seconds(now)))
    return _told(spec, kind, found, seconds(now)) if found else None


def _runs_sql(spec: OptimizerSpec, kind: ProfileControl, tables: Tables) -> str:
    ran, known, machine = (quote_identifier(name) for name in (kind.ran_at, kind.known_at, kind.machine))
    keys = ", ".join(f"CAST({quote_identifier(key)} AS VARCHAR) AS key_{no}" for no, key in enumerate(spec.keys))
    return f"""
        SELECT {keys}, CAST({machine} AS VARCHAR) AS machine, {variant_sql(kind.variant)} AS variant,
            epoch({ran})::DOUBLE AS at_s, {quote_identifier(kind.position)}::INTEGER AS position,
            {quote_identifier(kind.hold)}::DOUBLE AS held, {quote_identifier(kind.by)}::DOUBLE AS moved
        FROM {tables.relation(spec.table)}
        WHERE {machine} IS NOT NULL AND {ran} > ? AND {known} <= ?
        ORDER BY machine, at_s, key_1, position
    """


def _machine(
    spec: OptimizerSpec, kind: ProfileControl, site: Site, name: str, rows: pa.Table, past: pa.Table
) -> Machine | None:
    """A machine from its rows; None where no run has all its positions."""
    variant = rows["variant"][-1].as_py()
    held = row_of(site, kind.hold, variant, spec.solution)
    moved, nominal, guards = moved_by(site, kind.by, variant, spec.solution)
    targets = rows.group_by("position").aggregate([("key_0", "max")]).sort_by("position")["key_0_max"].to_pylist()
    count = len(targets)
    values = physical(floats(rows, "held"), held.physical_min, held.physical_max)
    stood = physical(floats(rows, "moved"), moved.physical_min, moved.physical_max)
    run = pc.rank(rows["key_1"], tiebreaker="dense").to_numpy(zero_copy_only=False).astype(np.int64) - 1
    place = np.searchsorted(np.unique(rows["position"].to_numpy()), rows["position"].to_numpy())
    table = np.full((3, int(run.max()) + 1, count), np.nan)
    table[:, run, place] = values, stood, floats(rows, "at_s")
    whole = np.flatnonzero(np.isfinite(table).all(axis=(0, 2)))
    if not len(whole):
        return None
    whole = whole[np.argsort(table[2, whole, 0], kind="stable")]
    profile, stood, ran_s = table[0, whole], table[1, whole], table[2, whole, 0]
    courses = [course_of(past, target, moved.code, nominal) for target in targets]
    setpoint = np.column_stack([one.at(ran_s) for one in courses])
    newest = int(np.flatnonzero(run == whole[-1])[0])
    keys = {key: rows[f"key_{no}"][newest].as_py() for no, key in enumerate(spec.keys) if no}
    known = Rows(uneven_pct(profile), setpoint)
    return Machine(name, float(ran_s[-1]), keys, targets, moved, guards, courses, known, stood[-1])


def uneven_pct(profile: Floats) -> Floats:
    """How far each position lies from its run's mean, % of it, shape (n, k)."""
    found: Floats = 100 * (profile / profile.mean(axis=1, keepdims=True) - 1)
    return found


def prior_of(kind: ProfileControl) -> Prior:
    """The declared response."""
    return Prior(kind.response.gain_pct, kind.response.width, kind.response.uncertainty)


def bounds_of(kind: ProfileControl, guards: Guards, reach: Floats) -> Bounds:
    """What moves may not cross now."""
    return Bounds(guards.low, guards.high, reach, kind.most_apart, kind.most_moved, kind.most, guards.resolution)


def _advised(kind: ProfileControl, machine: Machine, now_s: float) -> Answer:
    law = learn(machine.known, prior_of(kind), kind.ahead)
    bounds = bounds_of(kind, machine.guards, machine.reach(now_s))
    advice = advise(law, machine.setpoint, bounds, min_gain=kind.min_gain, outlier_sigma=kind.outlier_sigma)
    reason: str = advice.reason
    if now_s - machine.at_s > kind.max_age_h * HOUR_S:
        reason = "stale"
    elif machine.strays:
        reason = "setpoint_unknown"
    return Answer(machine, law, advice, reason)


def _told(spec: OptimizerSpec, kind: ProfileControl, found: list[Answer], now_s: float) -> RuleAnswers:
    first, *others = spec.keys
    counts = [len(one.machine.targets) for one in found]
    names = {first: [target for one in found for target in one.machine.targets]}
    names |= {key: [one.machine.run[key] for one in found for _ in one.machine.targets] for key in others}
    keys = {key: pa.chunked_array([pa.array(values, pa.string())]) for key, values in names.items()}
    at_s = np.repeat([one.machine.at_s for one in found], counts)
    moved = np.concatenate([one.moves for one in found]) != 0
    return RuleAnswers(
        keys=keys,
        event_at=pa.array(np.round(at_s * 1e6).astype(np.int64), pa.timestamp("us")),
        answers={
            "value": np.concatenate([one.proposed for one in found]).tolist(),
            "low": np.repeat([one.machine.guards.low for one in found], counts).tolist(),
            "high": np.repeat([one.machine.guards.high for one in found], counts).tolist(),
            "class": [reason for one in found for reason in one.reasons],
            "is_flagged": moved.tolist(),
            "reasons": [text for one in found for text in _texts(kind, one)],
        },
        checks=checks(kind, found, now_s),
        further={"move": _moves(keys, found)},
    )


def _texts(kind: ProfileControl, one: Answer) -> list[str]:
    """What the advice rests on, for each actuator: the spread with and without the moves, its position, its place."""
    before, after = one.advice.spread
    told = f"spread over the web, % of the mean, expected without a move; with the moves {after:.3g}"
    spread = {"feature": kind.hold, "value": number(round(before, 6)), "limit": told}
    return [
        json.dumps(
            [
                spread,
                {"feature": kind.position, "value": no + 1, "limit": f"expected {uneven:+.3g} % off the mean"},
                {"feature": one.machine.row.code, "value": number(at), "limit": f"in force; {_SAID[reason]}"},
            ]
        )
        for no, (at, uneven, reason) in enumerate(
            zip(one.machine.setpoint, one.advice.expected, one.reasons, strict=True)
        )
    ]


def _moves(keys: dict[str, pa.ChunkedArray], found: list[Answer]) -> pa.Table:
    """What an action needs to know of each answer, and the figures behind it."""
    numbers = {
        "current_value": np.concatenate([one.machine.setpoint for one in found]),
        "proposed_value": np.concatenate([one.proposed for one in found]),
        "priority": np.concatenate([_priorities(one) for one in found]),
        "expected_pct": np.concatenate([one.advice.expected for one in found]),
        "after_pct": np.concatenate([one.advice.after for one in found]),
        "gain_pct": np.concatenate([_gains(one) for one in found]),
    }
    codes = [one.machine.row.code for one in found for _ in one.machine.targets]
    columns = {name: pa.array([number(value) for value in values], pa.float64()) for name, values in numbers.items()}
    return pa.table({**keys, "characteristic_code": pa.array(codes, pa.string()), **columns})


def _gains(one: Answer) -> Floats:
    """Of each position to its own actuator."""
    return np.full(len(one.machine.targets), np.nan) if one.law is None else np.diag(one.law.response)


def _priorities(one: Answer) -> Floats:
    """Share of the spread that the moves take away, to each by the size of its move."""
    before, after = one.advice.spread
    size = np.abs(one.moves)
    found: Floats = (1 - after / before) * size / size.sum() if size.any() else np.zeros(len(size))
    return found


def checks(kind: ProfileControl, found: list[Answer], now_s: float) -> dict[str, tuple[bool, str]]:
    """What is to be known of the advice before anybody follows it."""
    outside = [one for one in found if not _is_inside(kind, one)]
    fast = [one for one in found if np.any(np.abs(one.moves) > one.machine.reach(now_s) * (1 + 1e-9))]
    return {
        "within_limits": (not outside, _named("proposed outside the limits: ", outside)),
        "within_rate": (not fast, _named("moved further than is allowed: ", fast)),
        "fresh": _no_reason(found, "nothing measured lately: ", "stale", "too_few"),
        "steady": _no_reason(found, "newest run far from what was expected: ", "unstable"),
        "gain_known": _no_reason(found, "an actuator does not stand where it was set: ", "setpoint_unknown"),
    }


def _is_inside(kind: ProfileControl, one: Answer) -> bool:
    """Whether what is moved keeps its limits, the sum of the moves, and the neighbours together."""
    moved, guards, proposed = one.moves != 0, one.machine.guards, one.proposed
    inside = (proposed >= guards.low) & (proposed <= guards.high)
    now, then = np.abs(np.diff(one.machine.setpoint)), np.abs(np.diff(proposed))
    together = np.all(then <= np.maximum(kind.most_apart, now) + 1e-9)
    return bool(inside[moved].all() and together and np.abs(one.moves).sum() <= kind.most_moved + 1e-9)


def _no_reason(found: list[Answer], what: str, *reasons: str) -> tuple[bool, str]:
    held = [one for one in found if one.reason in reasons]
    return not held, _named(what, held)


def _named(what: str, found: list[Answer]) -> str:
    return what + ", ".join(one.machine.name for one in found) if found else ""
