"""Rows unlike their peers: a number beside the median of its group, and a limit that few good groups pass."""

from __future__ import annotations

import pyarrow as pa

from models.decision_rule.rows import Decisions, Rows
from models.decision_rule.spec import Screen
from models.features.source import private_database
from pipelines.lake.sql import quote_identifier, quote_literal
from pipelines.screening.robust import MAD_TO_SD, extreme_limit

OUTLIER, USUAL = "outlier", "usual"
# Distance from the median in robust standard deviations, on the side that counts.
_AWAY = {"above": "away", "below": "-away", "both": "abs(away)"}


def decide(rule: Screen, rows: Rows) -> Decisions:
    """Judge each row beside its peers; `value` is its distance over the limit, an outlier from 1 on.

    Nothing is decided for a row without its number or group, in a group that is too small yet or whose rows are all
    alike, nor on a logarithmic scale of what is not positive.

    Args:
        rule: which number, which peers, how rare.
        rows: the rows.
    """
    x, groups = quote_identifier(rule.column), ", ".join(quote_identifier(name) for name in rule.group)
    is_of_one = " AND ".join(f"{quote_identifier(name)} IS NOT NULL" for name in rule.group)
    scaled = f"CASE WHEN {x} > 0 THEN ln({x}) END" if rule.scale == "log" else x
    with private_database(1) as con:
        con.register("__rows", rows.table.append_column("__row", pa.array(range(rows.table.num_rows), pa.int64())))
        con.execute(
            f"""
            CREATE TABLE judged AS
            WITH scaled AS (
                SELECT __row, {x} AS __x, {groups}, CASE WHEN {is_of_one} AND isfinite({x}) THEN {scaled} END AS __v
                FROM __rows),
            peers AS (
                SELECT {groups}, count(__v) AS peers, median(__v) AS middle, {MAD_TO_SD} * mad(__v) AS spread
                FROM scaled WHERE __v IS NOT NULL GROUP BY {groups})
            SELECT
                __row, __x, __v, coalesce(peers, 0) AS peers, middle, spread,
                (__v - middle) / nullif(spread, 0) AS away
            FROM scaled LEFT JOIN peers USING ({groups})
            """
        )
        sizes = [n for (n,) in con.execute("SELECT DISTINCT peers FROM judged WHERE away IS NOT NULL").fetchall()]
        enough = [n for n in sizes if n >= rule.min_peers]
        limits = [extreme_limit(n, rule.chance, rule.side) for n in enough]
        con.register(
            "__limit", pa.table({"peers": pa.array(enough, pa.int64()), "far": pa.array(limits, pa.float64())})
        )
        table = con.execute(_ANSWERS.format(away=_AWAY[rule.side], said=_said(rule), **_edges(rule))).to_arrow_table()
    return Decisions.of(table)


_ANSWERS = f"""
WITH limited AS (
    SELECT *, {{away}} / far AS share, {{low}} AS low, {{high}} AS high
    FROM judged LEFT JOIN __limit USING (peers))
SELECT
    CASE WHEN share > 1 THEN {quote_literal(OUTLIER)} WHEN share IS NOT NULL THEN {quote_literal(USUAL)} END AS class,
    share > 1 AS is_flagged,
    share AS value,
    to_json([{{said}}])::VARCHAR AS reasons
FROM limited ORDER BY __row
"""


def _edges(rule: Screen) -> dict[str, str]:
    """SQL of the limits in the unit of the number."""
    back = "exp({})" if rule.scale == "log" else "{}"
    return {"low": back.format("middle - far * spread"), "high": back.format("middle + far * spread")}


def _said(rule: Screen) -> str:
    """SQL of a row's reason."""
    bounds = {
        "above": "printf('at most %.4g among %d peers', high, peers)",
        "below": "printf('at least %.4g among %d peers', low, peers)",
        "both": "printf('%.4g to %.4g among %d peers', low, high, peers)",
    }[rule.side]
    limit = f"""
        CASE WHEN share IS NOT NULL THEN {bounds}
            WHEN __v IS NULL THEN 'a number and its peers are needed'
            WHEN peers < {rule.min_peers} THEN printf('%d peers, {rule.min_peers} are needed', peers)
            ELSE 'the peers are all alike' END"""
    return f"{{'feature': {quote_literal(rule.column)}, 'value': __x, 'limit': {limit}}}"
