"""Scoring: the champion's forecast from the step that begins now, and whether what is in store lasts."""

from __future__ import annotations

import time
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.context import ModelContext
from models.forecast.cover import shortages
from models.forecast.judge import load
from models.forecast.learn import origins_of
from models.forecast.panel import Panel, read_panel
from models.forecast.runtime import Scorer
from models.forecast.spec import ForecastSpec
from models.forecast.windows import Windows, windows_at
from models.registry.versions import Version
from models.scoring.score import ScoreReport, score_by
from models.scoring.table import answer_table, scored_keys
from models.solution import NotYetError


def score(spec: ForecastSpec, ctx: ModelContext) -> ScoreReport:
    """Forecast every series from the step that has begun, once for each step and version.

    `event_at` is when the step begins that is forecast, `predicted_at` when that was said. Each later forecast of the
    same step is a row of its own. With `given`, every row that is known is answered with what it should have been.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.
    """

    def answers(version: Version, now: datetime) -> tuple[pa.Table, dict[str, float]] | None:
        begun = time.perf_counter()
        scorer = load(version, ctx.n_threads)
        try:
            panel = read_panel(spec, ctx, columns=scorer.bundle["record"]["columns"])
        except NotYetError:
            return None
        done = scored_keys(ctx.home, spec, int(version.number))
        rows = _what_should_have_been(spec, panel, done) if spec.given else _what_will_be(spec, ctx, panel, done)
        if rows is None or not len(rows):
            return None
        read_s = time.perf_counter() - begun
        table = answered(spec, ctx, panel, rows, scorer, now, (int(version.number), ctx.snapshot))
        return table, {"read": read_s, "predict": time.perf_counter() - begun - read_s}

    return score_by(spec, ctx, answers)


def answered(
    spec: ForecastSpec,
    ctx: ModelContext,
    panel: Panel,
    rows: Windows,
    scorer: Scorer,
    now: datetime,
    stamp: tuple[int, int | None],
) -> pa.Table:
    """Rows of the solution's table.

    Args:
        spec: the solution.
        ctx: where open orders are read.
        panel: series.
        rows: rows of one origin.
        scorer: the champion.
        now: the plant's now.
        stamp: version and snapshot.
    """
    answers = dict(scorer.predict(rows.table))
    flagged, reasons = np.zeros(len(rows), dtype=bool), np.full(len(rows), None, dtype=object)
    if spec.action.cover is not None:
        flagged, reasons = shortages(spec, ctx, panel, rows, scorer, answers["value"])
    told = {**answers, "is_flagged": flagged, "reasons": pa.array(reasons.tolist(), pa.string())}
    keys = {key: pa.chunked_array([panel.keys[key].take(pa.array(rows.series))]) for key in spec.series}
    keys[spec.time] = pa.chunked_array([_labels(panel, rows.target)])
    event_at = np.round(panel.begin_s[rows.target] * 1e6).astype("datetime64[us]")
    return answer_table({key: keys[key] for key in spec.keys}, event_at, told, now, stamp)


def _labels(panel: Panel, step: np.ndarray) -> pa.Array:
    """Steps as the table names them: moments, or production days."""
    moments = np.round(panel.label_s(step) * 1e6).astype("datetime64[us]")
    return pa.array(moments.astype("datetime64[D]") if panel.is_day else moments)


def _what_will_be(spec: ForecastSpec, ctx: ModelContext, panel: Panel, done: pa.Table | None) -> Windows | None:
    """Rows of the step that has begun and those after it; None where this version spoke last of the last one."""
    origin = panel.step_at(ctx.as_of, ctx.site)
    if origin < 1:
        return None
    if done is not None and done.num_rows:
        last = _labels(panel, np.asarray([origin + spec.horizon - 1]))[0]
        times = done.column(spec.time)
        if pc.any(pc.equal(times, last.cast(times.type))).as_py():
            return None
    return windows_at(spec, panel, np.asarray([origin]))


def _what_should_have_been(spec: ForecastSpec, panel: Panel, done: pa.Table | None) -> Windows:
    """Rows of steps that are known and that this version has not spoken of, each from the newest origin before it."""
    rows = windows_at(spec, panel, origins_of(spec, 1, panel.steps))
    rows = rows.take((rows.target - rows.origin < spec.origin_every) & np.isfinite(rows.y))
    if done is None or not done.num_rows:
        return rows
    keys = {key: panel.keys[key].take(pa.array(rows.series)) for key in spec.series}
    asked = pa.table({**keys, spec.time: _labels(panel, rows.target), "__row": np.arange(len(rows))})
    done = done.cast(pa.schema([asked.schema.field(name) for name in done.column_names]))
    left = asked.join(done, keys=spec.keys, join_type="left anti")
    return rows.take(np.sort(left.column("__row").to_numpy()))
