"""Trials as answers: the next batch in its order, what is expected of each, and the figures behind it."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.features.source import open_tables
from models.optimizer.bayesian_spec import Bayesian
from models.optimizer.reading import floats
from models.optimizer.run_to_run import number
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers.bayesian import Kept, Setting, Trials, best_so_far, next_trials
from pipelines.optimizers.runs import Floats


def answer(spec: OptimizerSpec, kind: Bayesian, ctx: ModelContext, now: datetime) -> RuleAnswers | None:  # noqa: ARG001
    """The next trials, from those that were measured in full; None where the table has no row.

    Raises:
        CellworksError: a column is missing, or one that is read holds no numbers.
    """
    with open_tables(ctx, spec.table) as tables:
        tables.columns_with(spec.table, spec.named_columns, spec.solution)
        read = ", ".join(
            f"TRY_CAST({quote_identifier(name)} AS DOUBLE) AS {quote_identifier(name)}" for name in kind.columns
        )
        rows = tables.arrow(
            f"SELECT {read} FROM {tables.relation(spec.table)} ORDER BY {quote_identifier(spec.keys[0])}"
        )
    if not rows.num_rows:
        return None
    values = np.column_stack([floats(rows, name) for name in kind.columns])
    whole = np.isfinite(values).all(axis=1)
    done = dict(zip(kind.columns, values[whole].T, strict=True))
    kept = kept_of(kind, done)
    trials = next_trials(
        settings_of(kind),
        np.column_stack([done[one.of] for one in kind.vary]),
        done[kind.improve.of],
        kept,
        is_higher_better=kind.improve.to == "higher",
        count=kind.batch,
        seed=kind.seed,
    )
    return _told(spec, kind, trials, done, kept, len(rows))


def settings_of(kind: Bayesian) -> list[Setting]:
    """What is varied, as the optimiser takes it."""
    return [Setting(one.low, one.high, one.step) for one in kind.vary]


def kept_of(kind: Bayesian, done: dict[str, Floats]) -> list[Kept]:
    """Limits with what the trials so far showed of each."""
    ends = [
        (one.of, -np.inf if one.at_least is None else one.at_least, np.inf if one.at_most is None else one.at_most)
        for one in kind.keep
    ]
    return [Kept(done[name], low, high) for name, low, high in ends]


def _told(
    spec: OptimizerSpec, kind: Bayesian, trials: Trials, done: dict[str, Floats], kept: list[Kept], rows: int
) -> RuleAnswers:
    count = len(trials.settings)
    best = best_so_far(done[kind.improve.of], kept, is_higher_better=kind.improve.to == "higher")
    level = float(done[kind.improve.of][best]) if best >= 0 else float("nan")
    is_learnt = np.isfinite(trials.expected)
    names = {spec.keys[0]: pa.chunked_array([pa.array([f"T{rows + place + 1:04d}" for place in range(count)])])}
    figures = {
        **{one.of: trials.settings[:, place] for place, one in enumerate(kind.vary)},
        "expected_improvement": trials.improvement,
        "feasible_probability": trials.feasible,
        "expected_value": trials.expected,
        "expected_sd": trials.spread,
        "best_value": np.full(count, level),
    }
    columns = {name: pa.array([number(value) for value in each], pa.float64()) for name, each in figures.items()}
    return RuleAnswers(
        keys=names,
        event_at=None,
        answers={
            "value": [number(value) for value in trials.expected],
            "low": [number(value) for value in trials.expected - 1.96 * trials.spread],
            "high": [number(value) for value in trials.expected + 1.96 * trials.spread],
            "probability": [number(value) for value in trials.feasible],
            "class": ["improve" if known else "explore" for known in is_learnt],
            "is_flagged": [True] * count,
            "reasons": [_reasons(kind, trials, place, level) for place in range(count)],
        },
        checks=_checks(kind, trials, best, len(done[kind.improve.of]), rows),
        further={"trial": pa.table({**names, **columns})},
    )


def _reasons(kind: Bayesian, trials: Trials, place: int, level: float) -> str:
    parts = [
        {"feature": one.of, "value": number(round(float(trials.settings[place, no]), 10)), "limit": "to be set"}
        for no, one in enumerate(kind.vary)
    ]
    told = "fills the space" if not np.isfinite(trials.expected[place]) else f"best so far {level:.6g}"
    parts.append({"feature": kind.improve.of, "value": number(float(trials.expected[place])), "limit": told})
    return json.dumps(parts)


def _checks(kind: Bayesian, trials: Trials, best: int, whole: int, rows: int) -> dict[str, tuple[bool, str]]:
    """What is to be known of the order before anybody follows it."""
    low, high = (np.array([getattr(one, end) for one in kind.vary]) for end in ("low", "high"))
    inside = bool(((trials.settings >= low - 1e-9) & (trials.settings <= high + 1e-9)).all())
    return {
        "within_limits": (inside, "" if inside else "a setting outside its limits"),
        "within_rate": (True, ""),
        "fresh": (whole == rows, "" if whole == rows else f"{rows - whole} trials not measured in full"),
        "steady": (best >= 0, "" if best >= 0 else "no trial so far kept every limit"),
        "gain_known": (
            bool(np.isfinite(trials.expected).all()),
            "" if np.isfinite(trials.expected).all() else "too few trials to learn from: these fill the space",
        ),
    }
