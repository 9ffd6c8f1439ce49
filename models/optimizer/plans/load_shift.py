"""When to start the charge of what waits, by tomorrow's tariff and the load of everything else."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from models.optimizer.plan_spec import LoadShift
from models.optimizer.plans.items import Asked, Case, Item
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers import load_shift
from pipelines.optimizers.runs import Floats, Ints
from pipelines.optimizers.weigh import weigh

_LEARN_DAYS = 7
_MONTH_H = 730.0


def cases(asked: Asked, kind: LoadShift) -> list[Case]:
    """One plan for all that waits; none where nothing does."""
    begin = asked.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    rows = _waiting(asked, kind)
    if not len(rows):
        return []
    price, demand_usd = _tariff(asked, kind, begin)
    span = len(kind.profile_kw)
    if len(price) < span:
        raise CellworksError(
            "the tariff does not reach far enough ahead",
            expected=f"hours from {begin} on for a charge of {span} h",
            found=f"{len(price)} h",
            where=asked.spec.solution,
        )
    base_kw, peak_kw = _base(asked, kind, begin, len(price))
    begun, room = _under_way(asked, kind, begin, len(price))
    ready = np.maximum(np.ceil(np.array(rows["wait_h"].to_pylist()) + kind.ready_after_h), 0).astype(np.int64)
    fits = ready <= len(price) - span
    latest = np.minimum(ready + round(kind.wait_h), len(price) - span)
    problem = load_shift.Load(
        ready[fits],
        latest[fits],
        rows["cells"].to_numpy()[fits],
        np.array(kind.profile_kw),
        price,
        base_kw + begun,
        room,
        kind.limit_kw,
        peak_kw,
        # The charge is for a month: of it, the share of the hours that are planned.
        demand_usd * len(price) / _MONTH_H,
    )
    weighed = weigh(load_shift.LOAD_SHIFT, problem, kind.effort)
    names = [(row["scope"], row["item"]) for row in rows.to_pylist()]
    items = [
        _item(kind, keys, begin, int(own), int(rule))
        for keys, own, rule in zip([names[no] for no in np.flatnonzero(fits)], weighed.plan, weighed.rule, strict=True)
    ]
    curves = {"planned": problem.load_kw(weighed.plan).tolist(), "at once": problem.load_kw(weighed.rule).tolist()}
    return [Case(kind.charging_step, "energy and highest load, US$", weighed, items, curves)] if items else []


def _item(kind: LoadShift, keys: tuple[str, str], begin: datetime, own: int, rule: int) -> Item:
    at, ruled = begin + timedelta(hours=own), begin + timedelta(hours=rule)
    verdict = "wait" if own > rule else "start"
    ends = at + timedelta(hours=len(kind.profile_kw))
    said = f"start at {at:%d %b %H:%M} UTC" + (f" and not {ruled:%H:%M}" if own != rule else "")
    return Item(keys, verdict, float(own - rule), own != rule, said, starts_at=at, ends_at=ends, rule_starts_at=ruled)


def _waiting(asked: Asked, kind: LoadShift) -> pa.Table:
    """What waits together: its cells, and by how many hours the last of them came after now (negative: before)."""
    scope, key, entered, waits = (
        quote_identifier(name) for name in (*asked.spec.keys, kind.entered_column, kind.waits_column)
    )
    return asked.read(
        f"""
        SELECT CAST({scope} AS VARCHAR) AS scope, {key} AS item, count(*)::BIGINT AS cells,
            (epoch(max({entered})) - epoch(?::TIMESTAMP)) / 3600 AS wait_h
        FROM {asked.tables.relation(asked.spec.table)}
        WHERE NOT {waits} AND {key} IS NOT NULL AND {scope} IS NOT NULL AND {entered} > ? AND {entered} <= ?
        GROUP BY ALL ORDER BY wait_h, item
        """,
        asked.now, asked.now - timedelta(hours=kind.max_age_h), asked.now,
    )  # fmt: skip


def _tariff(asked: Asked, kind: LoadShift, begin: datetime) -> tuple[Floats, float]:
    """Price of each hour from `begin` on, as far as it is known without a gap, and the demand charge of a month."""
    rows = asked.read(
        f"""
        SELECT ((epoch(starts_at) - epoch(?::TIMESTAMP)) / 3600)::BIGINT AS hour,
            max(price_usd_per_kwh)::DOUBLE AS price, max(demand_charge_usd_per_kw)::DOUBLE AS demand
        FROM {asked.tables.relation(kind.tariff_table)} WHERE starts_at >= ? AND starts_at < ? AND known_at <= ?
        GROUP BY 1 ORDER BY 1
        """,
        begin, begin, begin + timedelta(hours=kind.horizon_h), asked.now,
    )  # fmt: skip
    hours = rows["hour"].to_numpy()
    whole = int((hours == np.arange(len(hours))).cumprod().sum())
    return rows["price"].to_numpy()[:whole], float(max(rows["demand"].to_pylist()[:whole], default=0.0))


def _base(asked: Asked, kind: LoadShift, begin: datetime, hours: int) -> tuple[Floats, float]:
    """Load of everything else, as it was at the same hours of the days before, and the month's highest load so far."""
    rows = asked.read(
        f"""
        WITH hourly AS (
            SELECT date_trunc('hour', interval_at) AS hour_at, step_code,
                sum(energy_kwh) / sum(interval_s) * 3600 * count(DISTINCT meter_id) AS kw
            FROM {asked.tables.relation(kind.meter_table)}
            WHERE interval_at >= least(?::TIMESTAMP, date_trunc('month', ?::TIMESTAMP)) AND known_at <= ?
            GROUP BY ALL)
        SELECT hour_at, sum(kw) AS all_kw, coalesce(sum(kw) FILTER (step_code <> ?), 0) AS base_kw,
            hour_at >= ? AS is_recent, hour_at >= date_trunc('month', ?::TIMESTAMP) AS is_of_month
        FROM hourly GROUP BY hour_at
        """,
        begin - timedelta(days=_LEARN_DAYS), begin, asked.now, kind.charging_step,
        begin - timedelta(days=_LEARN_DAYS), begin,
    )  # fmt: skip
    table = rows.to_pydict()
    if not any(table["is_recent"]):
        raise CellworksError("no meter was read lately", expected="rows of the last week", where=asked.spec.solution)
    of_hour: dict[int, list[float]] = {}
    for at, kw, recent in zip(table["hour_at"], table["base_kw"], table["is_recent"], strict=True):
        if recent:
            of_hour.setdefault(at.hour, []).append(kw)
    mean = float(np.mean([kw for each in of_hour.values() for kw in each]))
    clock = [(begin + timedelta(hours=no)).hour for no in range(hours)]
    base = np.array([float(np.mean(of_hour.get(hour, [mean]))) for hour in clock])
    peaks = [kw for kw, inside in zip(table["all_kw"], table["is_of_month"], strict=True) if inside]
    return base, float(max(peaks, default=0.0))


def _under_way(asked: Asked, kind: LoadShift, begin: datetime, hours: int) -> tuple[Floats, Ints]:
    """Load of charges that were begun, in each hour, and the places that they leave."""
    entered, waits = quote_identifier(kind.entered_column), quote_identifier(kind.waits_column)
    span = len(kind.profile_kw)
    rows = asked.read(
        f"""
        SELECT floor((epoch(?::TIMESTAMP) - epoch({entered})) / 3600)::BIGINT AS ago_h, count(*)::BIGINT AS cells
        FROM {asked.tables.relation(asked.spec.table)}
        WHERE {waits} AND {entered} > ? AND {entered} <= ? GROUP BY 1
        """,
        begin, begin - timedelta(hours=span), asked.now,
    )  # fmt: skip
    load, taken = np.zeros(hours), np.zeros(hours)
    for row in rows.to_pylist():
        rest = np.array(kind.profile_kw[row["ago_h"] :])[:hours]
        load[: len(rest)] += row["cells"] * rest
        taken[: len(rest)] += row["cells"]
    return load, np.maximum(kind.cells_at_once - taken, 0).astype(np.int64)
