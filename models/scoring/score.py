"""Scoring: the champion's predictions for entities it has not scored yet, with reasons, into the lake."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.evaluation.adaptive import adapted
from models.features.frame import EmptyTableError, Frame, load_frame
from models.features.these import these_rows
from models.registry.alarms import raise_alarm
from models.registry.client import open_client
from models.registry.versions import Version, champion, without_champion
from models.scoring.errors import errors_seen
from models.scoring.moves import moves_of
from models.scoring.runtime import Array, Scorer, raw_columns
from models.scoring.table import answer_table, append_answers, scored_keys
from models.solution import SolutionSpec
from models.spec import PredictiveSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import next_stamp, plant_now, wall_now
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table


@dataclass(frozen=True)
class ScoreReport:
    """What a scoring did.

    Attributes:
        name: `<stage>.<slug>`.
        version: Version that scored, or the rule; None when there is no champion.
        rows: Entities scored now.
        flagged: Of these, those that act.
        explained: Of these, those with reasons.
        predicted_at: The plant's now of these predictions (UTC, naive).
        seconds: Wall seconds by phase and `total`.
        alarm: Why the alias was not followed; None when it was.
        skipped: Why nothing was scored; empty otherwise.
        checks: What the family found out about its answers: check -> whether it passed, and a sentence.
    """

    name: str
    version: str | None
    rows: int = 0
    flagged: int = 0
    explained: int = 0
    predicted_at: datetime | None = None
    seconds: dict[str, float] | None = None
    alarm: str | None = None
    skipped: str = ""
    checks: Mapping[str, tuple[bool, str]] = field(default_factory=dict)


def flagged(spec: PredictiveSpec, finished: dict[str, Array], bundle: dict[str, Any]) -> Array:
    """Rows that call for the action: the event, a listed class, or a value beyond `action.above` or `below`.

    Where a policy is priced, the version knows itself below which remaining life to act.
    """
    if spec.task == "binary":
        return np.asarray(finished["class"] == bundle["classes"][1])
    if spec.task == "multiclass":
        return np.isin(finished["class"].astype(str), spec.action.classes)
    out = np.zeros(len(finished["value"]), dtype=bool)
    if spec.action.above is not None:
        out |= finished["value"] > spec.action.above
    if spec.action.below is not None:
        out |= finished["value"] < spec.action.below
    if (act_below := bundle.get("life", {}).get("act_below")) is not None:
        out |= finished["value"] <= act_below
    return out


def _explained(spec: PredictiveSpec, acting: Array) -> Array:
    """Row numbers that get reasons."""
    how = spec.explain
    if how.rows == "none" or how.top_k == 0:
        return np.zeros(0, dtype=int)
    if how.rows == "all":
        return np.arange(len(acting))
    chosen = acting.copy() if how.rows == "acting" else np.zeros(len(acting), dtype=bool)
    count = min(how.sample_rows, len(acting))
    chosen[np.random.default_rng(spec.search.seed).choice(len(acting), count, replace=False)] = True
    return np.flatnonzero(chosen)


def scoring_moment(ctx: ModelContext) -> datetime:
    """The plant's now; where no plant has delivered anything (a table of the user's own) the wall clock.

    Actions and their limits are counted by it, so it never goes back before the last of them.
    """
    if ctx.as_of is not None:
        return ctx.as_of
    if ctx.home.has_lake:
        with reader(ctx.home) as con:
            try:
                return plant_now(con)
            except (CellworksError, duckdb.CatalogException):
                if has_table(con, "ops", "action"):
                    return next_stamp(con, "lake.ops.action", "proposed_at")
    return wall_now()


def _new_rows(spec: PredictiveSpec, ctx: ModelContext, scorer: Scorer, version: int) -> Frame | None:
    """Rows that this version has not scored; None when there are none."""
    done = scored_keys(ctx.home, spec, version)
    bare = spec.model_copy(update={"slices": []})
    where, relations = "", dict[str, pa.Table]()
    try:
        if done is not None and done.num_rows:
            # First without features, of which there may be hundreds: few of the rows are new.
            pairs = " AND ".join(f"d.{quote_identifier(key)} = t0.{quote_identifier(key)}" for key in spec.keys)
            waiting = f"NOT EXISTS (SELECT 1 FROM __done AS d WHERE {pairs})"
            new = load_frame(bare, ctx, with_target=False, columns=[], where=waiting, relations={"__done": done})
            where, relations = these_rows(spec, new.table, new.time)
        columns = raw_columns(scorer.bundle["features"])
        beside = [spec.action.move.to] if spec.action.move else []
        return load_frame(
            bare, ctx, with_target=False, columns=columns, where=where, relations=relations, beside=beside
        )
    except EmptyTableError:
        return None


def rows_table(
    spec: PredictiveSpec,
    frame: Frame,
    scorer: Scorer,
    now: datetime,
    stamp: tuple[int, int | None],
    seen: tuple[Array, Array] | None = None,
) -> tuple[pa.Table, dict[str, float]]:
    """Predictions of a frame as rows of the solution's table, and the seconds they took by phase.

    Args:
        spec: the solution.
        frame: rows to be answered.
        scorer: the version that answers.
        now: the plant's now.
        stamp: number of the version, and the snapshot that was read.
        seen: errors whose labels became known, as `errors_seen` gives them.
    """
    seconds: dict[str, float] = {}
    begun = time.perf_counter()
    x = scorer.matrix(frame.table)
    seconds["features"] = time.perf_counter() - begun
    finished = adapted(spec, scorer, scorer.finish(scorer.raw(x)), frame.time, seen)
    seconds["predict"] = time.perf_counter() - begun - seconds["features"]
    acting = flagged(spec, finished, scorer.bundle)
    chosen = _explained(spec, acting)
    reasons: list[str | None] = [None] * frame.n_rows
    begun = time.perf_counter()
    for row, text in zip(
        chosen.tolist(), scorer.reasons(x[chosen], spec.explain.top_k) if len(chosen) else [], strict=True
    ):
        reasons[row] = text
    seconds["explain"] = time.perf_counter() - begun
    keys = {key: frame.table.column(f"__key_{key}") for key in spec.keys}
    answers = {**finished, "is_flagged": acting, "reasons": pa.array(reasons, pa.string())}
    return answer_table(keys, frame.time, answers, now, stamp), seconds


Answering = Callable[[Version, datetime], tuple[pa.Table, dict[str, float]] | None]
"""Rows of the solution's table by a version at a moment, and seconds by phase; None where no row is new."""


def score(spec: PredictiveSpec, ctx: ModelContext) -> ScoreReport:
    """Score every entity that the champion has not scored yet; a new champion scores all of them.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.

    Returns:
        What was written to `solutions.<slug>`. Without a champion that may act nothing is, and `skipped` says so.

    Raises:
        CellworksError: MLflow does not answer, or the table lost a column that the model needs.
    """
    further: dict[str, pa.Table] = {}

    def answers(version: Version, now: datetime) -> tuple[pa.Table, dict[str, float]] | None:
        begun = time.perf_counter()
        scorer = version.scorer(ctx.n_threads)
        frame = _new_rows(spec, ctx, scorer, int(version.number))
        if frame is None:
            return None
        seen = errors_seen(spec, replace(ctx, as_of=now), scorer)
        read_s = time.perf_counter() - begun
        rows, seconds = rows_table(spec, frame, scorer, now, (int(version.number), ctx.snapshot), seen)
        if (move := spec.action.move) is not None:
            further["move"] = moves_of(spec, move, ctx, rows, frame.beside[move.to].to_numpy(zero_copy_only=False))
        return rows, {"read": read_s, **seconds}

    return score_by(spec, ctx, answers, further)


def score_by(
    spec: SolutionSpec, ctx: ModelContext, answers: Answering, further: Mapping[str, pa.Table] | None = None
) -> ScoreReport:
    """Let the champion answer, and append its answers to `solutions.<slug>`: the way of every family.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.
        answers: the family's own part.
        further: what `answers` leaves for tables beside its own, by the end of their names.
    """
    client = open_client(ctx)
    reigning = champion(ctx.home, spec.name, client=client, audited=ctx.is_guarded)
    if reigning is None:
        return ScoreReport(spec.name, None, skipped=without_champion(client, spec.name))
    if reigning.alarm:
        raise_alarm(ctx.home, spec.solution, reigning.alarm)
    if reigning.version is None:
        return ScoreReport(spec.name, None, alarm=reigning.alarm, skipped="there is no champion that may act")
    begun, since = time.perf_counter(), wall_now()
    number, now = reigning.version.number, scoring_moment(ctx)
    found = answers(reigning.version, now)
    if found is None:
        return ScoreReport(spec.name, number, alarm=reigning.alarm, skipped="no entity that it has not scored")
    rows, seconds = found
    writing = time.perf_counter()
    append_answers(ctx.home, spec, rows, since, further or {})
    ended = time.perf_counter()
    seconds = {**seconds, "write": ended - writing, "total": ended - begun}
    return ScoreReport(
        spec.name,
        number,
        alarm=reigning.alarm,
        **told_of(rows, now, seconds),
    )


def told_of(rows: pa.Table, now: datetime, seconds: dict[str, float]) -> dict[str, Any]:
    """What a report says of the answers written: how many, how many act and have reasons, when, how long it took.

    Args:
        rows: as `answer_table` makes them.
        now: the plant's now.
        seconds: wall seconds by phase.
    """
    return {
        "rows": rows.num_rows,
        "flagged": int(np.count_nonzero(rows.column("is_flagged").to_numpy())),
        "explained": rows.num_rows - rows.column("reasons").null_count,
        "predicted_at": now,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
    }
