"""Set-points by what they are worth, as answers: for each machine the one move that saves most, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.reading import each, floats, past_moves, variant_sql
from models.optimizer.run_to_run import seconds
from models.optimizer.setpoint_search import Answer, Moved, moved_of, told
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers.expected_value import Outcome, best_move
from pipelines.optimizers.run_to_run import HOUR_S
from pipelines.optimizers.runs import Floats
from pipelines.optimizers.setpoint_search import Advice


def answer(spec: OptimizerSpec, kind: ExpectedValue, ctx: ModelContext, now: datetime) -> RuleAnswers | None:
    """The advice for each machine at the plant's now; None before any has run.

    Raises:
        CellworksError: there is no site, the plan does not allow the moves, or a column is missing.
    """
    if ctx.site is None:
        raise CellworksError(f"{spec.solution} needs a control plan", expected="a site", found="none")
    with open_tables(ctx, spec.table) as tables:
        tables.columns_with(spec.table, spec.named_columns, spec.solution)
        tables.columns_with(kind.outcomes.table, [spec.keys[-1], kind.outcomes.known_at, *kind.told], spec.solution)
        rows = tables.arrow(_sql(spec, kind, tables), [now, now - timedelta(days=kind.learn_days), now])
    past, found = past_moves(ctx, now), []
    for name, own in each(rows, "machine"):
        variant = own["variant"][-1].as_py()
        moved = [moved_of(ctx.site, column, variant, name, past, spec.solution) for column in kind.names]
        keys = {key: own[f"key_{no}"][-1].as_py() for no, key in enumerate(spec.keys)}
        at_s = floats(own, "at_s")
        if seconds(now) - at_s[-1] > kind.max_age_h * HOUR_S:
            advice = Advice("too_few")
            found.append(Answer(keys, name, float(at_s[-1]), moved, (), advice, "stale"))
            continue
        values = np.column_stack([floats(own, f"moved_{no}") for no in range(len(kind.move))])
        outcomes = np.column_stack([floats(own, f"miss_{no}") for no in range(len(kind.miss))])
        advice = advise(kind, moved, values, outcomes, at_s, seconds(now))
        found.append(Answer(keys, name, float(at_s[-1]), moved, (), advice, advice.reason))
    return told(spec, found, seconds(now), "US$ an item of set-points and misses") if found else None


def advise(
    kind: ExpectedValue, moved: Sequence[Moved], values: Floats, outcomes: Floats, at_s: Floats, now_s: float
) -> Advice:
    """What is said of a machine's set-points, from what was measured of its items.

    Args:
        kind: prices and limits.
        moved: the set-points, with the moves so far.
        values: of the set-points in each item, shape (n, k); NaN where not measured.
        outcomes: shape (n, m); NaN where not known yet.
        at_s: when each item was made, ascending.
        now_s: the moment.
    """
    whole = np.flatnonzero(np.isfinite(values).all(axis=1) & np.isfinite(outcomes).all(axis=1))[-kind.rows :]
    now = np.array([one.setpoint for one in moved])
    then = np.column_stack([one.course.at(at_s[whole]) for one in moved])
    limited = [
        Outcome(
            outcomes[whole, place],
            -np.inf if one.at_least is None else one.at_least,
            np.inf if one.at_most is None else one.at_most,
            one.usd,
        )
        for place, one in enumerate(kind.miss)
    ]
    return best_move(
        [one.knob(now_s) for one in moved], values[whole], limited, np.array([one.usd_per_unit for one in kind.move]),
        since=now - then, min_saving=kind.min_saving_usd,
    )  # fmt: skip


def _sql(spec: OptimizerSpec, kind: ExpectedValue, tables: Tables) -> str:
    ran, known, machine, item = (
        quote_identifier(name) for name in (kind.ran_at, kind.known_at, spec.keys[0], spec.keys[-1])
    )
    parts = [f"own.{quote_identifier(key)} AS key_{no}" for no, key in enumerate(spec.keys)]
    parts += [f"own.{quote_identifier(name)}::DOUBLE AS moved_{no}" for no, name in enumerate(kind.names)]
    for no, one in enumerate(kind.miss):
        whose = "own" if one.of in kind.names else "told"
        parts.append(f"{whose}.{quote_identifier(one.of)}::DOUBLE AS miss_{no}")
    return f"""
        SELECT {", ".join(parts)}, CAST(own.{machine} AS VARCHAR) AS machine, {variant_sql(kind.variant)} AS variant,
            epoch(own.{ran})::DOUBLE AS at_s
        FROM {tables.relation(spec.table)} AS own
        LEFT JOIN {tables.relation(kind.outcomes.table)} AS told
            ON told.{item} = own.{item} AND told.{quote_identifier(kind.outcomes.known_at)} <= ?
        WHERE own.{machine} IS NOT NULL AND own.{ran} > ? AND own.{known} <= ?
        ORDER BY machine, at_s
    """
