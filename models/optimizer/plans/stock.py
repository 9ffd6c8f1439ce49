"""How many spare parts to order, and which gauges to calibrate."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from models.optimizer.plan_spec import Stock
from models.optimizer.plans.items import Asked, Case, Item
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers import stocking
from pipelines.optimizers.weigh import weigh


def cases(asked: Asked, kind: Stock) -> list[Case]:
    """One plan of all parts, with the calibrations that are due among its items; none where no part was counted."""
    rows = _parts(asked, kind)
    if not len(rows):
        return []
    problem = stocking.Stocking(
        rows["used"].to_numpy(),
        float(rows["days"][0].as_py()),
        rows["lead_d"].to_numpy(),
        kind.review_d,
        rows["price"].to_numpy(),
        # The rule orders again at once what was used: below what it keeps, the rest is on its way.
        np.maximum(rows["stock"].to_numpy(), kind.keep),
        kind.holding_ratio,
        kind.short_usd,
        kind.budget_usd,
        kind.keep,
    )
    weighed = weigh(stocking.STOCKING, problem, kind.effort)
    items = []
    for no, part in enumerate(rows["item"].to_pylist()):
        order = int(weighed.plan[no] - problem.stock[no])
        said = (
            f"{problem.stock[no]} there or ordered, {problem.expected[no]:.1f} used until a delivery on the mean; "
            f"keep {weighed.plan[no]}"
        )
        verdict = "order" if order else "enough"
        items.append(
            Item((part,), verdict, float(order), bool(order), said, f"{weighed.plan[no]}", f"{weighed.rule[no]}")
        )
    return [Case("spare parts", "stock and standing still, US$ a year", weighed, [*items, *_due(asked, kind)])]


def _parts(asked: Asked, kind: Stock) -> pa.Table:
    """Parts as counted last, less what was used since, with their use over the days that are learnt from."""
    key, stock, price, lead, counted, known = (
        quote_identifier(name)
        for name in (
            asked.spec.keys[0],
            kind.stock_column,
            kind.price_column,
            kind.lead_column,
            kind.counted_column,
            kind.known_column,
        )
    )
    use = asked.tables.relation(kind.use_table)
    return asked.read(
        f"""
        WITH part AS (
            SELECT {key} AS item, {stock} AS stock, {price}::DOUBLE AS price, {lead}::DOUBLE AS lead_d,
                {counted} AS counted_at
            FROM {asked.tables.relation(asked.spec.table)} WHERE {known} <= ?
            QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {counted} DESC) = 1),
        span AS (
            SELECT greatest(least(?::DOUBLE, (epoch(?::TIMESTAMP) - epoch(min(used_at))) / 86400), 1) AS days FROM {use}
            WHERE known_at <= ?)
        SELECT item, price, lead_d, coalesce((SELECT days FROM span), ?) AS days,
            greatest(stock - coalesce(sum(quantity) FILTER (used_at > counted_at), 0), 0)::BIGINT AS stock,
            coalesce(sum(quantity) FILTER (used_at > ?::TIMESTAMP), 0)::DOUBLE AS used
        FROM part LEFT JOIN (SELECT {key} AS item, used_at, quantity FROM {use} WHERE known_at <= ?) USING (item)
        GROUP BY item, price, lead_d, part.stock, counted_at ORDER BY item
        """,
        asked.now, kind.learn_days, asked.now, asked.now, kind.learn_days,
        asked.now - timedelta(days=kind.learn_days), asked.now,
    )  # fmt: skip


def _due(asked: Asked, kind: Stock) -> list[Item]:
    """Gauges whose calibration is due, or that were found outside their tolerance when they were calibrated last."""
    if kind.calibration_table is None:
        return []
    rows = asked.read(
        f"""
        SELECT gauge_id, due_at, abs(as_found_error) > tolerance AS is_off
        FROM {asked.tables.relation(kind.calibration_table)} WHERE known_at <= ?
        QUALIFY row_number() OVER (PARTITION BY gauge_id, characteristic_code ORDER BY calibrated_at DESC) = 1
        """,
        asked.now,
    )
    worst: dict[str, Item] = {}
    for row in rows.to_pylist():
        left_d = (row["due_at"] - asked.now) / timedelta(days=1)
        is_due, gauge = left_d <= kind.due_within_d or bool(row["is_off"]), row["gauge_id"]
        said = "was found outside its tolerance" if row["is_off"] else f"due {row['due_at']:%d %b %Y}"
        if gauge not in worst or is_due:
            worst[gauge] = Item(
                (gauge,), "calibrate" if is_due else "calibrated", float(np.round(left_d, 3)), is_due, said,
                starts_at=row["due_at"],
            )  # fmt: skip
    return [worst[gauge] for gauge in sorted(worst)]
