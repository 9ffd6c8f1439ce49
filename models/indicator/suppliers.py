"""Supplier quality index: parts per million, capability and delay in points that add up to a hundred.

    PPM = nonconforming / inspected units x 1e6
    Cpk = distance of the mean from the nearer limit / 3 sigma, sigma = mean moving range / 1.128 (AIAG SPC)
    delay = share of orders that came after what was promised, or have not come by then

A part's points are its weight times how well it stands: 1 - PPM / worst PPM, the share of characteristics whose Cpk
reaches its aim, the share of orders in time. Counts are rolled up and not ratios, so that every level is told alike.
"""

from __future__ import annotations

from datetime import datetime

from models.features.source import Tables
from models.indicator.levels import (
    Figures,
    Level,
    does_not_add_up,
    level_name,
    levels_of,
    listed,
    make,
    missed_wholes,
    of_level,
    same,
)
from models.indicator.suppliers_spec import PARTS, PERIOD, Suppliers
from pipelines.lake.sql import quote_identifier, quote_literal

D2_OF_TWO = 1.128


def supplier_index(tables: Tables, table: str, suppliers: Suppliers, keys: Level, now: datetime) -> Figures:
    """Work out the index of every supplier, material and period.

    Args:
        tables: open connection that sees all tables of the spec.
        table: inspections of lots.
        suppliers: which columns, limits and weights.
        keys: columns of the level of the answers, of supplier, material and `period_from`.
        now: the plant's now (UTC, naive): an order that has not come by then is late if it was promised.

    Returns:
        Answers: `value` is the index, 0 to 100, `class` the part that costs most points, null until the period has
        settled. Further tables: `figure` with counts, `ppm`, `worst_cpk` and `index_points` by level, `part` with the
        points of the index and those that each part cost.

    Raises:
        CellworksError: a column is missing, or points do not add up to 100.
    """
    _refuse_missing(tables, table, suppliers, keys)
    levels = levels_of(keys, *suppliers.roll_up, [suppliers.supplier, suppliers.material, PERIOD])
    columns = list(dict.fromkeys(name for level in levels for name in level))
    make(tables, "cw_cpk", _capability(tables, suppliers), {"now": now})
    make(tables, "cw_leaf", _leaves(tables, table, suppliers), {"now": now})
    make(tables, "cw_figure", _figures(suppliers, levels))
    make(tables, "cw_part", _parts(columns))
    if worst := missed_wholes(tables, ("cw_figure", "whole_points"), ("cw_part", "points"), columns):
        what, level, whole, parts, least = worst[0]
        raise does_not_add_up(
            "counts of nonconforming units and late orders that are no more than the whole",
            f"{what} ({level}): parts of {parts} points, the least {least}, of {whole}",
            "correct the records of that supplier and period",
        )
    order = listed(columns)
    return Figures(
        tables.con.execute(_answers(suppliers, keys), _given(suppliers, keys, now)).to_arrow_table(),
        {
            "figure": tables.arrow(f"FROM cw_figure ORDER BY level, {order}"),
            "part": tables.arrow(f"FROM cw_part ORDER BY level, {order}, points DESC, part"),
            "cpk": tables.arrow(f"FROM cw_cpk ORDER BY {listed(_leaf(suppliers))}, characteristic_code"),
        },
        {"adds_up": (True, "the index and what each part cost are 100 points, at every level")},
    )


def _given(suppliers: Suppliers, keys: Level, now: datetime) -> dict[str, object]:
    """Parameters of the answers: only those that the query names."""
    return {"below": suppliers.below} | ({"now": now} if PERIOD in keys else {})


def _leaf(suppliers: Suppliers) -> Level:
    return [suppliers.supplier, suppliers.material, PERIOD]


def _refuse_missing(tables: Tables, table: str, suppliers: Suppliers, keys: Level) -> None:
    own, results, orders = [suppliers.supplier, suppliers.material], suppliers.results, suppliers.orders
    tables.columns_with(table, [*(key for key in keys if key != PERIOD), *suppliers.columns], "indicator")
    named = [results.characteristic, results.value, results.lower, results.upper, results.at]
    tables.columns_with(results.table, [*own, *named], "indicator.results")
    if orders is not None:
        tables.columns_with(orders.table, [*own, orders.promised, orders.delivered], "indicator.orders")


def _of_period(suppliers: Suppliers, at: str) -> str:
    moment = quote_identifier(at)
    own = listed([suppliers.supplier, suppliers.material])
    return f"{own}, date_trunc({quote_literal(suppliers.period)}, {moment})::DATE AS {PERIOD}"


def _capability(tables: Tables, suppliers: Suppliers) -> str:
    """Cpk of each characteristic of a supplier, material and period that has enough lots; one parameter, now."""
    q, results, leaf = quote_identifier, suppliers.results, listed(_leaf(suppliers))
    return f"""
        WITH measured AS (
            SELECT {_of_period(suppliers, results.at)}, {q(results.characteristic)}::VARCHAR AS characteristic_code,
                {q(results.value)}::DOUBLE AS x, {q(results.lower)}::DOUBLE AS low, {q(results.upper)}::DOUBLE AS high,
                {q(results.at)} AS at_moment
            FROM {tables.relation(results.table)} WHERE isfinite({q(results.value)}) AND {q(results.at)} <= $now),
        ranged AS (
            SELECT *, abs(x - lag(x) OVER (PARTITION BY {leaf}, characteristic_code ORDER BY at_moment, x)) AS moved
            FROM measured),
        summed AS (
            SELECT {leaf}, characteristic_code, count(*) AS lots, avg(x) AS mean, avg(moved) / {D2_OF_TWO} AS sigma,
                any_value(low) AS low, any_value(high) AS high
            FROM ranged GROUP BY ALL HAVING lots >= {results.least})
        SELECT {leaf}, characteristic_code, lots, mean, sigma,
            least(high - mean, mean - low) / (3 * nullif(sigma, 0)) AS cpk
        FROM summed
    """


def _leaves(tables: Tables, table: str, suppliers: Suppliers) -> str:
    """Counts of each supplier, material and period; one parameter, now."""
    q, orders = quote_identifier, suppliers.orders
    parts = [
        f"""
        SELECT {_of_period(suppliers, suppliers.at)}, sum({q(suppliers.inspected)})::BIGINT AS inspected_count,
            sum({q(suppliers.nonconforming)})::BIGINT AS nonconforming_count, max({q(suppliers.at)}) AS until_at
        FROM {tables.relation(table)} WHERE {q(suppliers.at)} <= $now GROUP BY ALL""",
        f"""
        SELECT {listed(_leaf(suppliers))}, count(cpk) AS characteristic_count,
            count(*) FILTER (cpk >= {suppliers.results.aim!r}) AS capable_count, min(cpk) AS worst_cpk
        FROM cw_cpk GROUP BY ALL""",
    ]
    if orders is not None:
        came = f"coalesce({q(orders.delivered)}, $now)"
        late = f"{came} > {q(orders.promised)}"
        parts.append(
            f"""
        SELECT {_of_period(suppliers, orders.promised)}, count(*) AS order_count,
            count(*) FILTER ({late}) AS late_count,
            coalesce(sum(epoch_us({came}) - epoch_us({q(orders.promised)})) FILTER ({late}), 0) / 86400e6 AS late_d,
            max({q(orders.promised)}) AS until_at
        FROM {tables.relation(orders.table)} WHERE {q(orders.promised)} <= $now GROUP BY ALL"""
        )
    else:
        parts.append("SELECT 0::BIGINT AS order_count, 0::BIGINT AS late_count, 0.0::DOUBLE AS late_d WHERE false")
    return " UNION ALL BY NAME ".join(parts)


def _figures(suppliers: Suppliers, levels: list[Level]) -> str:
    counts = ("inspected_count", "nonconforming_count", "characteristic_count", "capable_count", "order_count")
    summed = ", ".join(f"coalesce(sum({name}), 0)::BIGINT AS {name}" for name in (*counts, "late_count"))
    most = "coalesce(sum(late_d), 0)::DOUBLE AS late_d, min(worst_cpk) AS worst_cpk, max(until_at) AS until_at"
    what = f"{summed}, {most}"
    rolled = " UNION ALL BY NAME ".join(of_level(level, what, "cw_leaf") for level in levels)
    weights: dict[str, float] = dict.fromkeys(PARTS, 0.0) | dict(suppliers.weights)
    known = " + ".join(f"CASE WHEN {part}_ratio IS NULL THEN 0 ELSE {weights[part]!r} END" for part in PARTS)
    lost = ", ".join(
        f"coalesce(100 * {weights[part]!r} * (1 - {part}_ratio) / nullif(known_weight, 0), 0) AS {part}_lost_points"
        for part in PARTS
    )
    kept = " + ".join(f"coalesce({weights[part]!r} * {part}_ratio, 0)" for part in PARTS)
    return f"""
        WITH stood AS (
            SELECT *, 1e6 * nonconforming_count / nullif(inspected_count, 0) AS ppm,
                -- `greatest` passes over what is null, and nothing inspected says nothing.
                CASE WHEN ppm IS NOT NULL THEN greatest(0, 1 - ppm / {suppliers.worst_ppm!r}) END AS quality_ratio,
                capable_count / nullif(characteristic_count, 0) AS capability_ratio,
                1 - late_count / nullif(order_count, 0) AS delivery_ratio
            FROM ({rolled})),
        weighed AS (SELECT *, {known} AS known_weight FROM stood),
        lost AS (SELECT *, {lost} FROM weighed WHERE known_weight > 0)
        SELECT *, 100.0::DOUBLE AS whole_points, 100 * ({kept}) / known_weight AS index_points FROM lost
    """


def _parts(columns: list[str]) -> str:
    """The index, and the points that each part cost, at every level."""
    points = {"index": "index_points"} | {part: f"{part}_lost_points" for part in PARTS}
    return " UNION ALL ".join(
        f"SELECT level, {listed(columns)}, {quote_literal(part)} AS part, {column} AS points FROM cw_figure"
        for part, column in points.items()
    )


def _answers(suppliers: Suppliers, keys: Level) -> str:
    """The index at the keys' level; two parameters: now, and the points below which one is flagged.

    An index of all time, whose keys have no period, never settles.
    """
    level = quote_literal(level_name(keys))
    settled = "false"
    if PERIOD in keys:
        settle = f"to_microseconds({int(suppliers.settle_d * 86_400e6)})"
        settled = f"cw_figure.{PERIOD} + INTERVAL 1 {suppliers.period} + {settle} <= $now"
    return f"""
        WITH lost AS (
            SELECT {listed(keys)}, list((part, points) ORDER BY points DESC, part) AS parts
            FROM cw_part WHERE level = {level} AND part <> 'index' GROUP BY ALL)
        SELECT {listed(keys, "cw_figure.")}, until_at AS event_at, index_points AS value,
            CASE WHEN {settled} THEN CASE WHEN parts[1][2] > 0 THEN parts[1][1] ELSE 'none' END END AS class,
            coalesce(index_points < $below, false) AS is_flagged,
            to_json([{{'feature': each[1], 'value': round(each[2], 4), 'contribution': -round(each[2], 4)}}
                FOR each IN parts])::VARCHAR AS reasons
        FROM cw_figure JOIN lost ON {same(keys, "cw_figure", "lost")}
        WHERE level = {level}
    """
