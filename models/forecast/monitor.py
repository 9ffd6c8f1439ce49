"""Watching a forecast: what it said, held against what came."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.drift.live import LiveDay, production_days
from models.drift.monitor import MonitorReport, Seen, watch_by
from models.evaluation.bootstrap import Interval
from models.forecast.evaluate import blocks_of
from models.forecast.judge import load
from models.forecast.loss import figures
from models.forecast.panel import Panel, read_panel
from models.forecast.runtime import Array
from models.forecast.spec import ForecastSpec
from models.registry.client import open_client
from models.registry.versions import Version
from models.scoring.table import relation
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table

_SHOWN = ("wql", "coverage")
_LEAST_ROWS = 20


def monitor(spec: ForecastSpec, ctx: ModelContext) -> MonitorReport:
    """Measure the champion's live loss and coverage by day and write `ops.live_skill`.

    Skill is lost when the whole interval of the live loss lies above that of the hold-out.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.
    """

    def watch(version: Version) -> Seen:
        own = load(version, ctx.n_threads).bundle["record"]
        panel = read_panel(spec, ctx, columns=own["columns"])
        told = _came_true(spec, ctx, panel, int(version.number), own["cut_s"])
        if told is None:
            return Seen([], [], None, "nothing that was forecast has come yet")
        y, predicted, target = told
        days = _days(spec, ctx, panel, told)
        whole = figures(y, predicted, np.asarray(spec.quantiles), blocks_of(spec, target), spec.seed)
        promised = open_client(ctx).get_run(version.run_id).data.metrics.get("wql_high")
        return Seen(days, [], *_lost(whole, promised))

    return watch_by(spec, ctx, watch)


def _lost(whole: dict[str, Interval], promised: float | None) -> tuple[bool | None, str]:
    """Whether the live loss is beyond what the hold-out promised, and a sentence."""
    wql, coverage = whole["wql"], whole["coverage"]
    sentence = f"live weighted quantile loss {wql.value:.4g}, {100 * coverage.value:.1f} % of the intervals hold"
    if promised is None or not np.isfinite(wql.low):
        return None, f"{sentence}; too little has come to tell"
    is_lost = wql.low > promised
    return is_lost, f"{sentence}: {'is lost' if is_lost else 'holds'}, the hold-out promised at most {promised:.4g}"


def _came_true(
    spec: ForecastSpec, ctx: ModelContext, panel: Panel, version: int, cut_s: float
) -> tuple[Array, Array, Array] | None:
    """Truth, quantiles and step of each forecast of a version that owes nothing to the truth; None of few.

    It was made before its step was known, or, where it says what should have been, the step is after the version's cut.
    """
    stored = _stored(spec, ctx, version)
    if stored is None or not stored.num_rows:
        return None
    series = _series_of(spec, panel, stored)
    label_s = np.asarray(stored.column("__label_s").to_numpy(), dtype=np.float64)
    step = np.round((label_s - panel.first_s) / panel.step_s).astype(int)
    there = (series >= 0) & (step >= 0) & (step < panel.steps)
    made_s = np.asarray(stored.column("__made_s").to_numpy(), dtype=np.float64)
    y, known_s = np.full(len(step), np.nan), np.full(len(step), -np.inf)
    y[there] = panel.numbers[spec.target][series[there], step[there]]
    known_s[there] = panel.known_s[series[there], step[there]]
    begin_s = panel.begin_s[np.clip(step, 0, panel.steps - 1)]
    is_honest = begin_s >= cut_s if spec.given else made_s < known_s
    chosen = np.flatnonzero(np.isfinite(y) & is_honest)
    if len(chosen) < _LEAST_ROWS:
        return None
    predicted = np.column_stack([stored.column(name).to_numpy() for name in ("low", "value", "high")])
    return y[chosen], predicted[chosen].astype(np.float64), step[chosen]


def _series_of(spec: ForecastSpec, panel: Panel, stored: pa.Table) -> Array:
    """Number of each row's series; -1 of one that is gone."""
    parts = [np.asarray(stored.column(key).cast(pa.string()).to_pylist(), dtype=object) for key in spec.series]
    names: list[Any] = [" ".join(each) for each in zip(*parts, strict=True)] if parts else [""] * stored.num_rows
    number = {str(name): place for place, name in enumerate(panel.names)}
    return np.asarray([number.get(name, -1) for name in names])


def _stored(spec: ForecastSpec, ctx: ModelContext, version: int) -> pa.Table | None:
    """All forecasts of a version; None before there is any."""
    with reader(ctx.home) as con:
        if not has_table(con, "solutions", spec.slug):
            return None
        keys = "".join(f"{quote_identifier(key)}, " for key in spec.series)
        label = f"epoch(CAST({quote_identifier(spec.time)} AS TIMESTAMP)) AS __label_s"
        return con.execute(
            f"SELECT {keys}{label}, epoch(predicted_at) AS __made_s, low, value, high "
            f"FROM {relation(spec.slug)} WHERE model_version = ?",
            [version],
        ).to_arrow_table()


def _days(spec: ForecastSpec, ctx: ModelContext, panel: Panel, told: tuple[Array, Array, Array]) -> list[LiveDay]:
    """Loss and coverage by production day of the step that was forecast."""
    y, predicted, step = told
    moments = np.round(panel.begin_s[step] * 1e6).astype("datetime64[us]")
    dates = production_days(moments, ctx.site)
    out = []
    for day in np.unique(dates):
        rows = np.flatnonzero(dates == day)
        if len(rows) < _LEAST_ROWS:
            continue
        found = figures(y[rows], predicted[rows], np.asarray(spec.quantiles), np.zeros(len(rows)), spec.seed)
        out += [LiveDay(day.item(), name, found[name].value, None, None, len(rows)) for name in _SHOWN]
    return out
