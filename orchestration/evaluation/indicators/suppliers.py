"""The quality index of suppliers from lots, results and orders, by pandas; the engine works in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from models.indicator.suppliers_spec import PARTS, PERIOD, Orders, Suppliers
from orchestration.evaluation.indicators.anew import Anew, Asked, rows_of, unreconciled

if TYPE_CHECKING:
    import pandas as pd

_D2_OF_TWO = 1.128  # AIAG SPC: the mean range of two values is so many standard deviations
_PERIODS = {"week": "W-SUN", "month": "M", "quarter": "Q"}


class Records(NamedTuple):
    """Rows that an index is worked out from: lots inspected, results measured, orders (none: not judged by them)."""

    lots: pd.DataFrame
    results: pd.DataFrame
    orders: pd.DataFrame | None


def worked_anew(asked: Asked) -> Anew:
    """See `orchestration.evaluation.indicator.KINDS`."""
    spec, home, now, snapshot = asked.spec, asked.home, asked.now, asked.snapshot
    own = cast("Suppliers", spec.indicator)
    named, results, orders = [own.supplier, own.material], own.results, own.orders
    measured = [results.characteristic, results.value, results.lower, results.upper, results.at]
    records = Records(
        rows_of(home, snapshot, spec.table, own.columns),
        rows_of(home, snapshot, results.table, [*named, *measured]),
        rows_of(home, snapshot, orders.table, [*named, orders.promised, orders.delivered]) if orders else None,
    )
    gap = unreconciled(home, spec.slug, ("figure", "whole_points"), ("part", "points"), ["part"])
    return Anew(index_of(records, own, spec.keys, now), gap, "points")


def index_of(records: Records, own: Suppliers, keys: list[str], now: datetime) -> pd.DataFrame:
    """Points and the part that costs most of them by the keys; no part until the period has settled."""
    import pandas as pd

    leaf = [own.supplier, own.material, PERIOD]
    parts = [_inspected(records.lots, own, now), _capable(records.results, own, now)]
    if records.orders is not None and own.orders is not None:
        parts.append(_delivered(records.orders, own, own.orders, now))
    counts = pd.concat([part.groupby(leaf).sum() for part in parts], axis=1)
    counts = counts.groupby(level=keys).sum().reindex(columns=["units", "bad", "told", "capable", "due", "late"])
    ppm = 1e6 * counts["bad"] / counts["units"].where(counts["units"] > 0)
    stands = pd.DataFrame(
        {
            "capability": counts["capable"] / counts["told"].where(counts["told"] > 0),
            "delivery": 1 - counts["late"] / counts["due"].where(counts["due"] > 0),
            "quality": (1 - ppm / own.worst_ppm).clip(lower=0.0),
        }
    )
    weights = pd.Series(dict.fromkeys(PARTS, 0.0) | dict(own.weights))
    known = stands.notna().mul(weights).sum(axis=1)
    kept = stands.fillna(0.0).mul(weights).sum(axis=1)
    # Rounded, so that of parts that cost the same the first by name is told, as the engine tells it.
    lost = (100 * (1 - stands)).mul(weights).div(known, axis=0).fillna(0.0).round(9)
    worst = lost.idxmax(axis=1).where(lost.max(axis=1) > 0, "none")
    index = pd.DataFrame({"value": 100 * kept / known, "class": worst.where(_settled(counts, own, now), None)})
    return index.loc[known > 0]


def _settled(counts: pd.DataFrame, own: Suppliers, now: datetime) -> pd.Series[bool]:
    """Whether nothing is expected any more of each row's period."""
    import pandas as pd

    if PERIOD not in counts.index.names:
        return pd.Series(False, index=counts.index)
    first = pd.Series(pd.to_datetime(counts.index.get_level_values(PERIOD)), index=counts.index)
    following = first.dt.to_period(_PERIODS[own.period]).dt.end_time.dt.floor("D") + pd.Timedelta(days=1)
    return following + pd.Timedelta(days=own.settle_d) <= now


def _of_period(rows: pd.DataFrame, own: Suppliers, at: str, now: datetime) -> pd.DataFrame:
    """Rows until now with the first day of their period."""
    rows = rows[rows[at] <= now]
    return rows.assign(**{PERIOD: rows[at].dt.to_period(_PERIODS[own.period]).dt.start_time.dt.date})


def _inspected(lots: pd.DataFrame, own: Suppliers, now: datetime) -> pd.DataFrame:
    """A row per lot: units that were looked at, and how many of them do not conform."""
    rows = _of_period(lots, own, own.at, now)
    named = rows[[own.supplier, own.material, PERIOD]]
    return named.assign(units=rows[own.inspected].fillna(0), bad=rows[own.nonconforming].fillna(0))


def _capable(results: pd.DataFrame, own: Suppliers, now: datetime) -> pd.DataFrame:
    """A row per characteristic that has lots enough: whether its Cpk is told, and whether it reaches the aim."""
    part = own.results
    rows = _of_period(results[np.isfinite(results[part.value].astype(float))], own, part.at, now)
    rows = rows.sort_values([part.at, part.value])
    by = [own.supplier, own.material, PERIOD, part.characteristic]
    grouped = rows.assign(_moved=rows.groupby(by)[part.value].diff().abs()).groupby(by)
    one = grouped.agg(
        n=(part.value, "size"), mean=(part.value, "mean"), moved=("_moved", "mean"),
        low=(part.lower, "first"), high=(part.upper, "first"),
    )  # fmt: skip
    one = one[one["n"] >= part.least]
    sigma = (one["moved"] / _D2_OF_TWO).where(one["moved"] > 0)
    nearer = np.fmin(one["high"].astype(float) - one["mean"], one["mean"] - one["low"].astype(float))
    cpk = nearer / (3 * sigma)
    counts = one.assign(told=cpk.notna(), capable=cpk >= part.aim)[["told", "capable"]]
    return counts.astype(int).droplevel(part.characteristic).reset_index()


def _delivered(rows: pd.DataFrame, own: Suppliers, orders: Orders, now: datetime) -> pd.DataFrame:
    """A row per order that was due: whether it came late, or has not come."""
    rows = _of_period(rows, own, orders.promised, now)
    late = rows[orders.delivered].fillna(now) > rows[orders.promised]
    return rows[[own.supplier, own.material, PERIOD]].assign(due=1, late=late.astype(int))
