"""Does what is in store and on order last? Held against the demand that may come until an order would arrive."""

from __future__ import annotations

import json

import numpy as np

from models.context import ModelContext
from models.features.source import open_tables
from models.forecast.panel import Panel
from models.forecast.runtime import AHEAD, SPREAD, Array, Scorer
from models.forecast.spec import ForecastSpec, Orders
from models.forecast.windows import Windows
from pipelines.lake.sql import quote_identifier


def shortages(
    spec: ForecastSpec, ctx: ModelContext, panel: Panel, rows: Windows, scorer: Scorer, value: Array
) -> tuple[Array, Array]:
    """Rows of the series that are to be ordered now, with the figures that say so.

    A series is short when the high quantile of its demand over the lead time exceeds what is in store and what is on
    order and comes within it. All its rows are flagged: the newest one tells, whichever step it is of.

    Args:
        spec: the solution with `action.cover`.
        ctx: where open orders are read.
        panel: series, the stock among them.
        rows: rows of one origin.
        scorer: gives how far the high quantile of a sum lies above the sum of the middles.
        value: the middles.

    Returns:
        (rows,) flags, and reasons as JSON where flagged.

    Raises:
        ValueError: the solution names no `action.cover`.
    """
    cover = spec.action.cover
    if cover is None:
        raise ValueError("the solution holds its forecast against nothing")
    flagged, reasons = np.zeros(len(rows), dtype=bool), np.full(len(rows), None, dtype=object)
    if not len(rows):
        return flagged, reasons
    origin = int(rows.origin[0])
    stock = _stock(panel, cover.stock, origin)
    ordered = np.zeros(len(panel.names))
    if cover.orders is not None:
        ordered = _on_order(spec, ctx, panel, cover.orders, origin)
    ahead, spread = rows.number(AHEAD).astype(int), rows.number(SPREAD)
    for series in np.unique(rows.series):
        mine = rows.series == series
        within = mine & (ahead <= cover.lead_time_steps)
        sum_above = float(scorer.by_step(rows.table, "sum_above")[within][-1]) * float(spread[within][-1])
        demand = float(value[within].sum()) + max(sum_above, 0.0)
        there = float(stock[series] + ordered[series])
        if np.isfinite(there) and there < demand:
            flagged[mine] = True
            reasons[mine] = _told(spec, stock[series], ordered[series], demand)
    return flagged, reasons


def _stock(panel: Panel, column: str, origin: int) -> Array:
    """The newest stock of each series that was known at the origin; NaN where none was."""
    values = np.where(panel.known_s[:, :origin] <= panel.begin_s[origin], panel.numbers[column][:, :origin], np.nan)
    back = np.argmax(np.isfinite(values)[:, ::-1], axis=1)
    return np.asarray(values[np.arange(len(values)), values.shape[1] - 1 - back])


def _on_order(spec: ForecastSpec, ctx: ModelContext, panel: Panel, orders: Orders, origin: int) -> Array:
    """What each series has on order at the moment of the forecast that is to come within the lead time."""
    cover = spec.action.cover
    steps = cover.lead_time_steps if cover else 0
    now_s = float(panel.begin_s[origin])
    until_s = now_s + steps * panel.step_s
    by = " || ' ' || ".join(f"CAST({quote_identifier(name)} AS VARCHAR)" for name in orders.by)
    at = {name: f"epoch(CAST({quote_identifier(getattr(orders, name))} AS TIMESTAMP))" for name in _MOMENTS}
    with open_tables(ctx, orders.table) as tables:
        named = [*orders.by, orders.quantity, orders.ordered_at, orders.due_at, orders.arrived_at]
        tables.columns_with(orders.table, named, f"{spec.solution}: action.cover.orders")
        found = tables.arrow(
            f"SELECT {by} AS series, sum(CAST({quote_identifier(orders.quantity)} AS DOUBLE)) AS quantity "
            f"FROM {tables.relation(orders.table)} WHERE {at['ordered_at']} <= ? AND {at['due_at']} <= ? "
            f"AND ({at['arrived_at']} IS NULL OR {at['arrived_at']} > ?) GROUP BY ALL",
            [now_s, until_s, now_s],
        ).to_pydict()
    known = dict(zip(found["series"], found["quantity"], strict=True))
    return np.asarray([float(known.get(str(name)) or 0.0) for name in panel.names])


_MOMENTS = ("ordered_at", "due_at", "arrived_at")


def _told(spec: ForecastSpec, stock: float, ordered: float, demand: float) -> str:
    """Reasons as other families give them: feature, value, contribution in the target's unit."""
    cover = spec.action.cover
    steps = cover.lead_time_steps if cover else 0
    shown = {
        "stock": stock,
        "on order": ordered,
        f"demand over {steps} steps, high": demand,
    }
    rows = [
        {
            "feature": name,
            "value": float(f"{value:.6g}"),
            "contribution": float(f"{(value if 'demand' in name else -value):.4g}"),
        }
        for name, value in shown.items()
    ]
    return json.dumps(rows)
