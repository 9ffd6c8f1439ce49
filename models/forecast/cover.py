"""Does what is in store and on order last? Held against the demand that may come until an order would arrive."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from models.context import ModelContext
from models.features.source import open_tables
from models.forecast.panel import Panel
from models.forecast.runtime import AHEAD, SPREAD, Array, Scorer
from models.forecast.spec import Cover, ForecastSpec, Orders
from models.forecast.windows import Windows
from pipelines.lake.sql import quote_identifier


@dataclass(frozen=True)
class _Supply:
    """What each series has: in store, on order within its lead time (target's unit), and that lead time in steps."""

    stock: Array
    ordered: Array
    lead_steps: Array


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
    supply = _supply(spec, ctx, panel, cover, int(rows.origin[0]))
    ahead, above = rows.number(AHEAD).astype(int), scorer.by_step(rows.table, "sum_above") * rows.number(SPREAD)
    for series in np.unique(rows.series):
        mine = np.flatnonzero(rows.series == series)
        within = mine[ahead[mine] <= supply.lead_steps[series]]
        demand = float(value[within].sum() + max(above[within[-1]], 0.0))
        stock, ordered = float(supply.stock[series]), float(supply.ordered[series])
        if np.isfinite(stock) and stock + ordered < demand:
            flagged[mine] = True
            reasons[mine] = _told({"stock": stock, "on order": ordered}, demand, int(supply.lead_steps[series]))
    return flagged, reasons


def _supply(spec: ForecastSpec, ctx: ModelContext, panel: Panel, cover: Cover, origin: int) -> _Supply:
    """What each series has at the moment of the forecast."""
    lead_steps = np.full(len(panel.names), cover.lead_time_steps or spec.horizon)
    if cover.orders is None:
        return _Supply(_stock(panel, cover.stock, origin), np.zeros(len(panel.names)), lead_steps)
    orders = _read_orders(spec, ctx, cover.orders, float(panel.begin_s[origin]))
    ordered = np.zeros(len(panel.names))
    for place, name in enumerate(panel.names):
        mine = orders["series"] == name
        if cover.lead_time_steps is None and mine.any():
            median_s = float(np.median(orders["due_s"][mine] - orders["ordered_s"][mine]))
            lead_steps[place] = min(max(1, int(np.ceil(median_s / panel.step_s))), spec.horizon)
        until_s = panel.begin_s[origin] + lead_steps[place] * panel.step_s
        ordered[place] = orders["quantity"][mine & orders["is_open"] & (orders["due_s"] <= until_s)].sum()
    return _Supply(_stock(panel, cover.stock, origin), ordered, lead_steps)


def _stock(panel: Panel, column: str, origin: int) -> Array:
    """The newest stock of each series that was known at the origin; NaN where none was."""
    values = np.where(panel.known_s[:, :origin] <= panel.begin_s[origin], panel.numbers[column][:, :origin], np.nan)
    back = np.argmax(np.isfinite(values)[:, ::-1], axis=1)
    return np.asarray(values[np.arange(len(values)), values.shape[1] - 1 - back])


def _read_orders(spec: ForecastSpec, ctx: ModelContext, orders: Orders, now_s: float) -> dict[str, Array]:
    """Orders placed by then, and which of them had not come: open is what had no arrival yet."""
    by = " || ' ' || ".join(f"CAST({quote_identifier(name)} AS VARCHAR)" for name in orders.by)
    ordered, due, arrived = (
        f"epoch(CAST({quote_identifier(name)} AS TIMESTAMP))"
        for name in (orders.ordered_at, orders.due_at, orders.arrived_at)
    )
    with open_tables(ctx, orders.table) as tables:
        named = [*orders.by, orders.quantity, orders.ordered_at, orders.due_at, orders.arrived_at]
        tables.columns_with(orders.table, named, f"{spec.solution}: action.cover.orders")
        found = tables.arrow(
            f"SELECT {by} AS series, CAST({quote_identifier(orders.quantity)} AS DOUBLE) AS quantity, "
            f"{ordered} AS ordered_s, {due} AS due_s, coalesce({arrived} > ?, true) AS is_open "
            f"FROM {tables.relation(orders.table)} WHERE {ordered} <= ? AND {due} IS NOT NULL ORDER BY ALL",
            [now_s, now_s],
        )
    return {name: found.column(name).to_numpy(zero_copy_only=False) for name in found.column_names}


def _told(there: dict[str, float], demand: float, steps: int) -> str:
    """Reasons as other families give them: feature, value, contribution to the shortage in the target's unit."""
    shown = {name: (value, -value) for name, value in there.items()}
    shown[f"high demand over {steps} steps"] = (demand, demand)
    return json.dumps(
        [
            {"feature": name, "value": float(f"{value:.6g}"), "contribution": float(f"{part:.4g}")}
            for name, (value, part) in shown.items()
        ]
    )
