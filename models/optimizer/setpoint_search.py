"""A set-point search as answers: for each machine the one move that saves most and stays safe, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.optimizer.aim import moved_by
from models.optimizer.fall_back import UNSHOWN, towards_recipe
from models.optimizer.reading import Course, course_of, each, floats, past_moves, physical, variant_sql
from models.optimizer.run_to_run import number, seconds
from models.optimizer.setpoint_models import Asked, champions, cost_of, limits_of
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.plan import Characteristic
from pipelines.control_plan.site import Site
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers.run_to_run import HOUR_S, Guards, reach_of
from pipelines.optimizers.runs import Bools, Floats
from pipelines.optimizers.setpoint_search import Advice, Knob, Limit, search

_SAID = {
    "move": "move it",
    "restore": "move it: a limit is not kept safely now",
    "fall_back": "move it towards the recipe: nothing shows that the limits are kept",
    "at_optimum": "no allowed move that is safe saves enough",
    "unsafe": "a limit is not kept safely now, and no allowed move mends it",
    "wait": "it was moved as often as is allowed",
    "too_few": "too few runs to search around",
    "effect_unknown": "the models do not show the effects that are known",
    "stale": "nothing measured lately",
    "no_model": "a model that it asks has no champion",
}
MOVES = ("move", "restore", "fall_back")


@dataclass(frozen=True)
class Moved:
    """A set-point of a machine: its row of the plan, the recipe's value, what no move may cross, and its course."""

    row: Characteristic
    nominal: float
    guards: Guards
    course: Course

    @property
    def setpoint(self) -> float:
        """In force now."""
        return float(self.course.values[-1])

    def knob(self, now_s: float) -> Knob:
        """As the search takes it."""
        guards = self.guards
        reach = max(reach_of(guards, now_s, self.course.moves), 0.0)
        return Knob(self.setpoint, guards.low, guards.high, reach, guards.resolution)


@dataclass(frozen=True)
class Answer:
    """A machine after its newest run, its set-points, what must be kept, and what is said.

    `reason` is that of the advice, or why nothing could be searched.
    """

    keys: dict[str, Any]
    name: str
    at_s: float
    moved: Sequence[Moved]
    limits: Sequence[Limit]
    advice: Advice
    reason: str

    @property
    def moves(self) -> bool:
        """Whether a set-point is to be moved."""
        return self.reason in MOVES

    @property
    def chosen(self) -> Moved | None:
        """The set-point that is to be moved."""
        return self.moved[self.advice.knob] if self.moves else None


def answer(spec: OptimizerSpec, kind: SetpointSearch, ctx: ModelContext, now: datetime) -> RuleAnswers | None:
    """The advice for each machine at the plant's now; None before any has run.

    Raises:
        CellworksError: there is no site, the plan does not allow the moves, or a column is missing.
    """
    if ctx.site is None:
        raise CellworksError(f"{spec.solution} needs a control plan", expected="a site", found="none")
    asked = champions(kind, ctx)
    with open_tables(ctx, spec.table) as tables:
        tables.columns_with(spec.table, [*spec.named_columns, *asked.columns], spec.solution)
        rows = tables.arrow(_runs_sql(spec, kind, asked, tables), [now - timedelta(days=kind.learn_days), now])
    past, found = past_moves(ctx, now), []
    for name, own in each(rows, "machine"):
        variant = own["variant"][-1].as_py()
        moved = [moved_of(ctx.site, column, variant, name, past, spec.solution) for column in kind.move]
        keys = {key: own[f"key_{no}"][-1].as_py() for no, key in enumerate(spec.keys)}
        at_s = float(floats(own, "at_s")[-1])
        limits, advice, reason = searched(spec, kind, ctx.site, asked, own, moved, seconds(now))
        found.append(Answer(keys, name, at_s, moved, limits, advice, reason))
    return told(spec, found, seconds(now)) if found else None


def moved_of(site: Site, name: str, variant: str | None, machine: str, past: pa.Table, where: str) -> Moved:
    """A set-point of a machine, with the moves that were carried out so far."""
    row, nominal, guards = moved_by(site, name, variant, where)
    return Moved(row, nominal, guards, course_of(past, machine, row.code, nominal))


def _runs_sql(spec: OptimizerSpec, kind: SetpointSearch, asked: Asked, tables: Tables) -> str:
    ran, known, machine = (quote_identifier(name) for name in (kind.ran_at, kind.known_at, spec.keys[0]))
    parts = [f"{quote_identifier(key)} AS key_{no}" for no, key in enumerate(spec.keys)]
    parts += [f"{quote_identifier(name)}::DOUBLE AS moved_{no}" for no, name in enumerate(kind.move)]
    parts += [f"{quote_identifier(name)} AS {quote_identifier(f'read_{name}')}" for name in asked.columns]
    return f"""
        SELECT {", ".join(parts)}, CAST({machine} AS VARCHAR) AS machine, {variant_sql(kind.variant)} AS variant,
            epoch({ran})::DOUBLE AS at_s
        FROM {tables.relation(spec.table)}
        WHERE {machine} IS NOT NULL AND {ran} > ? AND {known} <= ?
        ORDER BY machine, at_s
    """


def searched(
    spec: OptimizerSpec,
    kind: SetpointSearch,
    site: Site,
    asked: Asked,
    rows: pa.Table,
    moved: Sequence[Moved],
    now_s: float,
) -> tuple[Sequence[Limit], Advice, str]:
    """What must be kept by a machine, what is to be done, and the reason that is told: by the models, or else back.

    Args:
        spec: for messages.
        kind: what is moved and kept.
        site: its plan has the limits.
        asked: the champions.
        rows: runs of the machine by `at_s`, with `variant`, `moved_<place>`, and `read_<column>` of what models read.
        moved: the set-points as they stand.
        now_s: the plant's now, on the clock of `at_s`.
    """
    limits, advice, reason = _asked(spec, kind, site, asked, rows, moved, now_s)
    if kind.otherwise == "recipe" and reason in (*UNSHOWN, "restore"):
        nominal = np.array([one.nominal for one in moved])
        knobs = [one.knob(now_s) for one in moved]
        if (back := towards_recipe(advice, knobs, nominal, cost_of(kind.cost, kind.move, nominal))) is not None:
            return limits, back, "fall_back"
        if reason == "restore":
            return limits, replace(advice, reason="unsafe", knob=-1, proposed=np.nan), "unsafe"
    return limits, advice, reason


def _asked(
    spec: OptimizerSpec,
    kind: SetpointSearch,
    site: Site,
    asked: Asked,
    rows: pa.Table,
    moved: Sequence[Moved],
    now_s: float,
) -> tuple[Sequence[Limit], Advice, str]:
    """The same by the models alone."""
    nothing = Advice("too_few")
    if len(asked.scorers) < len({kept.solution for kept in kind.keep}):
        return (), nothing, "no_model"
    if now_s - floats(rows, "at_s")[-1] > kind.max_age_h * HOUR_S:
        return (), nothing, "stale"
    measured = np.column_stack([_measured(rows, place, one.row) for place, one in enumerate(moved)])
    whole = np.isfinite(measured).all(axis=1)
    if not whole.any():
        return (), nothing, nothing.reason
    rows, measured = rows.filter(pa.array(whole)), measured[whole]
    newest = rows.slice(max(len(rows) - kind.rows, 0))
    runs = newest.select([f"read_{column}" for column in asked.columns]).rename_columns(asked.columns)
    limits = limits_of(kind, site, rows["variant"][-1].as_py(), asked, runs, spec.solution)
    advice = search(
        [one.knob(now_s) for one in moved],
        as_of_now(measured, floats(rows, "at_s"), moved)[-kind.rows :],
        measured[_learnt(rows, asked)],
        limits,
        cost_of(kind.cost, kind.move, np.array([one.nominal for one in moved])),
        share=kind.share,
        min_saving=kind.min_saving,
    )
    return limits, advice, advice.reason


def _measured(rows: pa.Table, place: int, row: Characteristic) -> Floats:
    return physical(floats(rows, f"moved_{place}"), row.physical_min, row.physical_max)


def as_of_now(measured: Floats, at_s: Floats, moved: Sequence[Moved]) -> Floats:
    """Measured set-points of past runs as they would be at the set-points in force now, shape (n, k)."""
    then = np.column_stack([one.course.at(at_s) for one in moved])
    found: Floats = measured + np.array([one.setpoint for one in moved]) - then
    return found


def _learnt(rows: pa.Table, asked: Asked) -> Bools:
    """Which runs all models could learn from: what came later was not seen by them."""
    until = asked.trained_until
    at_s = floats(rows, "at_s")
    found: Bools = np.ones(len(at_s), dtype=bool) if until is None else at_s * 1e6 <= until.astype(np.int64)
    return found


def told(spec: OptimizerSpec, found: list[Answer], now_s: float, cost: str = "cost beside the recipe's") -> RuleAnswers:
    """Answers and moves of the machines, and what is to be known of them before anybody follows.

    `cost` says what the costs of the advice are.
    """
    keys = {key: pa.chunked_array([pa.array([one.keys[key] for one in found])]) for key in spec.keys}
    at_s = np.array([one.at_s for one in found])
    return RuleAnswers(
        keys=keys,
        event_at=pa.array(np.round(at_s * 1e6).astype(np.int64), pa.timestamp("us")),
        answers={
            "value": [number(one.advice.proposed) for one in found],
            "low": [one.chosen.guards.low if one.chosen else None for one in found],
            "high": [one.chosen.guards.high if one.chosen else None for one in found],
            "class": [one.reason for one in found],
            "is_flagged": [one.moves for one in found],
            "reasons": [_reasons(one, cost) for one in found],
        },
        checks=checks(found, now_s),
        further={"move": _moves(keys, found)},
    )


def _reasons(one: Answer, cost: str) -> str:
    """What the advice rests on: what it saves, what each kept quantity would be, and where the set-points stand."""
    advice = one.advice
    after = advice.cost_after if one.moves else advice.cost
    told = f"{cost}; now {advice.cost:.4g}, cheapest safe {advice.cost_best:.4g}; {_SAID[one.reason]}"
    parts = [{"feature": "cost", "value": number(round(after, 6)), "limit": told}]
    for limit, bound in zip(one.limits, advice.expected, strict=False):
        side = "at most" if limit.is_upper else "at least"
        parts.append({"feature": limit.name, "value": number(round(bound, 6)), "limit": f"{side} {limit.at:g}"})
    parts += [{"feature": each.row.code, "value": number(each.setpoint), "limit": "in force"} for each in one.moved]
    return json.dumps(parts)


def _moves(keys: dict[str, pa.ChunkedArray], found: list[Answer]) -> pa.Table:
    """What an action needs to know of each answer, and the figures behind it."""
    chosen = [one.chosen for one in found]
    numbers = {
        "current_value": [one.setpoint if one else np.nan for one in chosen],
        "proposed_value": [one.advice.proposed for one in found],
        "priority": [_priority(one) for one in found],
        "cost": [one.advice.cost for one in found],
        "cost_after": [one.advice.cost_after for one in found],
        "cost_best": [one.advice.cost_best for one in found],
    }
    return pa.table(
        {
            **keys,
            "characteristic_code": pa.array([one.row.code if one else None for one in chosen], pa.string()),
            **{name: pa.array([number(value) for value in values], pa.float64()) for name, values in numbers.items()},
        }
    )


def _priority(one: Answer) -> float:
    """A limit comes first; else the share of the cost that is saved."""
    if one.reason in ("restore", "fall_back"):
        return 1.0
    return 1 - one.advice.cost_after / one.advice.cost if one.moves else 0.0


def checks(found: list[Answer], now_s: float) -> dict[str, tuple[bool, str]]:
    """What is to be known of the advice before anybody follows it."""
    outside = [one for one in found if one.chosen and not _is_inside(one.chosen, one.advice.proposed)]
    fast = [one for one in found if one.chosen and not _is_slow_enough(one.chosen, one.advice.proposed, now_s)]
    return {
        "within_limits": (not outside, _named("proposed outside the limits: ", outside)),
        "within_rate": (not fast, _named("moved further than is allowed: ", fast)),
        "fresh": _no_reason(found, "nothing measured lately: ", "stale", "too_few"),
        "steady": _no_reason(found, "a limit is not kept safely: ", "restore", "unsafe", "fall_back"),
        "gain_known": _no_reason(
            found, "no champion, or it does not show known effects: ", "no_model", "effect_unknown"
        ),
    }


def _is_inside(one: Moved, proposed: float) -> bool:
    return one.guards.low <= proposed <= one.guards.high


def _is_slow_enough(one: Moved, proposed: float, now_s: float) -> bool:
    size, moves = abs(proposed - one.setpoint), one.course.moves
    spent = float(np.abs(moves.size[moves.at_s > now_s - HOUR_S]).sum())
    return size <= one.guards.step * (1 + 1e-9) and size + spent <= one.guards.rate_per_h * (1 + 1e-9)


def _no_reason(found: list[Answer], what: str, *reasons: str) -> tuple[bool, str]:
    held = [one for one in found if one.reason in reasons]
    return not held, _named(what, held)


def _named(what: str, found: list[Answer]) -> str:
    return what + ", ".join(one.name for one in found) if found else ""
