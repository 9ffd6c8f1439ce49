"""Watching a detector: alarms against the budget since it answers, drift of what it watches."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from models.anomaly_detector.alarms import raised
from models.anomaly_detector.evaluate import rate_interval
from models.anomaly_detector.ground import Rows, read_rows
from models.anomaly_detector.judge import cut_s, load
from models.anomaly_detector.limits import WEEK_S
from models.anomaly_detector.runtime import Scorer, numbers
from models.anomaly_detector.spec import AnomalySpec
from models.context import ModelContext
from models.drift.live import LiveDay
from models.drift.monitor import Drift, MonitorReport, Seen, measured, newest_scores, watch_by
from models.drift.reference import MIN_ROWS
from models.registry.versions import Version
from models.scoring.table import relation
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table

_METRIC = "alarms_per_week"


def monitor(spec: AnomalySpec, ctx: ModelContext) -> MonitorReport:
    """Measure drift and the rate of alarms of the champion and write `ops.drift` and `ops.live_skill`.

    The rate counts rows that the champion had not learnt from. It is over the budget only when its whole 95 % interval
    is: a plant in trouble alarms too, so this is news to look at and no proof against the detector.

    Args:
        spec: the solution.
        ctx: snapshot, moment and registry.
    """

    def watch(version: Version) -> Seen:
        scorer = load(version, ctx.n_threads)
        rows = read_rows(spec, ctx, columns=scorer.bundle["record"]["columns"])
        drift = _drift(spec, ctx, version, rows)
        days = _rate(spec, ctx, int(version.number), scorer, rows)
        if not days:
            return Seen(days, drift, None, "no later row was scored yet")
        whole, budget = days[-1], spec.alarms.per_week
        over = whole.low is not None and whole.low > budget
        word = "over" if over else "within"
        sentence = f"{whole.value:.3g} alarms a week since the reference ends, {word} the budget of {budget:g}"
        return Seen(days, drift, over, sentence)

    return watch_by(spec, ctx, watch)


def _drift(spec: AnomalySpec, ctx: ModelContext, version: Version, rows: Rows) -> list[Drift]:
    """PSI and KS of the newest scored rows against the reference; empty below 100 rows."""
    newest = newest_scores(spec, ctx, int(version.number))
    if newest is None or newest.num_rows < MIN_ROWS:
        return []
    reference = json.loads((version.bundle / "reference.json").read_text(encoding="utf-8"))
    names = list(reference["inputs"])
    x = numbers(rows.table.slice(max(0, rows.table.num_rows - newest.num_rows)), names)
    out = [measured("input", name, reference["inputs"][name], x[:, place]) for place, name in enumerate(names)]
    value = np.asarray(newest.column("value").to_numpy(), dtype=np.float64)
    return [*out, measured("score", "value", reference["score"], value)]


def _rate(spec: AnomalySpec, ctx: ModelContext, version: int, scorer: Scorer, rows: Rows) -> list[LiveDay]:
    """Alarms of each day that a version scored and had not learnt from, and the rate over all of them as the last."""
    stored = _stored(spec, ctx, version)
    if stored is None or stored.num_rows == 0:
        return []
    keyed = rows.table.select([f"__key_{key}" for key in spec.keys]).append_column(
        "__row", pa.array(np.arange(len(rows.time_s)))
    )
    # Answers keep whole numbers as BIGINT, whatever they are in the table: a join takes equal types only.
    types = {f"__key_{key}": stored.schema.field(key).type for key in spec.keys}
    keyed = keyed.cast(pa.schema([(each.name, types.get(each.name, each.type)) for each in keyed.schema]))
    both = keyed.join(stored, keys=[f"__key_{key}" for key in spec.keys], right_keys=spec.keys, join_type="inner")
    place = both.column("__row").to_numpy()
    value = np.full(len(rows.time_s), np.nan)
    value[place] = np.asarray(both.column("value").to_numpy(), dtype=np.float64)
    value[rows.time_s < cut_s(scorer)] = np.nan
    known = np.isfinite(value)
    if not known.any():
        return []
    begins, _ = raised(value, rows.time_s, rows.entity, spec.hold_off_s)
    weeks = max(float(np.ptp(rows.time_s[known])), 1.0) / WEEK_S
    day = rows.event_at.astype("datetime64[D]")
    out = []
    for each in np.unique(day[known]):
        mine = known & (day == each)
        out.append(LiveDay(each.item(), "alarms", float(begins[mine].sum()), None, None, int(mine.sum())))
    rate = rate_interval(int(begins.sum()), weeks)
    return [*out, LiveDay(None, _METRIC, rate.value, rate.low, rate.high, int(known.sum()))]


def _stored(spec: AnomalySpec, ctx: ModelContext, version: int) -> pa.Table | None:
    """The newest answer of a version for each row; None before there is any."""
    with reader(ctx.home) as con:
        if not has_table(con, "solutions", spec.slug):
            return None
        keys = ", ".join(quote_identifier(key) for key in spec.keys)
        return con.execute(
            f"SELECT {keys}, arg_max(value, scored_at) AS value FROM {relation(spec.slug)} "
            f"WHERE model_version = ? GROUP BY {keys}",
            [version],
        ).to_arrow_table()
