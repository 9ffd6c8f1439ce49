"""Scoring: the champion's score over its limit for rows that it has not answered yet, into the lake."""

from __future__ import annotations

import time
from datetime import datetime

import numpy as np
import pyarrow as pa

from models.anomaly_detector.detector import alarms_of, look_back_s, score_from
from models.anomaly_detector.ground import Rows, read_rows
from models.anomaly_detector.judge import load
from models.anomaly_detector.runtime import Array, Scorer
from models.anomaly_detector.spec import AnomalySpec
from models.context import ModelContext
from models.registry.versions import Version
from models.scoring.score import ScoreReport, score_by
from models.scoring.table import answer_table, scored_keys
from models.solution import NotYetError


def score(spec: AnomalySpec, ctx: ModelContext) -> ScoreReport:
    """Score every row that the champion has not scored yet; a new champion scores all of them.

    `value` is the score over its limit, `reasons` are those of flagged rows. A row of a series is flagged while an
    alarm is open, so that the newest one tells; one that stands for itself, like a cell, when it is over the limit.
    Where streams are judged too, the row that raises an alarm of its machine is flagged for it, and not each that the
    machine makes from then on.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.
    """

    def answers(version: Version, now: datetime) -> tuple[pa.Table, dict[str, float]] | None:
        begun = time.perf_counter()
        scorer = load(version, ctx.n_threads)
        done = scored_keys(ctx.home, spec, int(version.number))
        try:
            rows = read_rows(spec, ctx, columns=scorer.bundle["record"]["columns"], done=done)
        except NotYetError:
            return None
        if not rows.is_new.any():
            return None
        read_s = time.perf_counter() - begun
        table = answered(spec, rows, scorer, now, (int(version.number), ctx.snapshot))
        return table, {"read": read_s, "predict": time.perf_counter() - begun - read_s}

    return score_by(spec, ctx, answers)


def answered(spec: AnomalySpec, rows: Rows, scorer: Scorer, now: datetime, stamp: tuple[int, int | None]) -> pa.Table:
    """The new rows' answers.

    Args:
        spec: the solution.
        rows: all rows, with those that are new.
        scorer: the champion.
        now: the plant's now.
        stamp: version and snapshot.
    """
    first = float(rows.time_s[rows.is_new].min())
    # An alarm that is open at the first new row was raised by an earlier one, within the hold-off.
    value = score_from(scorer, rows, first - spec.hold_off_s)
    under = _under(spec, rows, scorer, value)
    new = rows.part(rows.is_new)
    flagged, value = under[rows.is_new], value[rows.is_new]
    reasons = np.full(len(flagged), None, dtype=object)
    if flagged.any():
        reasons[flagged] = _reasons(spec, rows, scorer, under)
    answers = {
        "value": pa.array(value, from_pandas=True),
        "is_flagged": flagged,
        "reasons": pa.array(reasons, pa.string()),
    }
    return answer_table(new.keys(spec), new.event_at, answers, now, stamp)


def _under(spec: AnomalySpec, rows: Rows, scorer: Scorer, value: Array) -> Array:
    """Rows that are flagged; of streams those over the limit by themselves and the first of each alarm."""
    begins, open_now = alarms_of(spec, rows, value)
    if spec.series is not None:
        return open_now
    with np.errstate(invalid="ignore"):
        over = value > 1
    return over if spec.streams is None else (over & (scorer.alone(rows.table) > 1)) | begins


def _reasons(spec: AnomalySpec, rows: Rows, scorer: Scorer, under: Array) -> list[str]:
    """Reasons of the new rows that are under an alarm, with the past that they depend on."""
    wanted = under & rows.is_new
    near = np.zeros(len(wanted), dtype=bool)
    back = look_back_s(scorer)
    # Stretches of the past that any wanted row reaches back to, of its own entity; of streams also the others'.
    whose = np.zeros_like(rows.entity) if spec.streams is not None else rows.entity
    for entity in np.unique(whose[wanted]):
        mine = whose == entity
        moments = np.sort(rows.time_s[mine & wanted])
        following = np.searchsorted(moments, rows.time_s[mine])
        after = moments[np.minimum(following, len(moments) - 1)]
        near[mine] = (following < len(moments)) & (after - rows.time_s[mine] <= back)
    told = scorer.reasons(rows.table.filter(pa.array(near)), spec.top_k)
    return [text for text, is_wanted in zip(told, wanted[near], strict=True) if is_wanted]
