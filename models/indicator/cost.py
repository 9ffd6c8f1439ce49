"""Activity-based conversion cost: what each step spent itself, and its share of the pools that all steps share.

    cost of a step = its direct cost + sum over pools: cost of the pool x driver of the step / driver of all steps

The cost of all steps of a period is compared with what the period cost by another way of adding up, and the whole is
refused where they differ. Cost per kWh is over what was made of the periods whose output is all known.
"""

from __future__ import annotations

import pyarrow as pa

from models.features.source import Tables
from models.indicator.cost_spec import Cost
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
    told,
)
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier, quote_literal

_SUFFIX = "_cost_usd"


def cost_ledger(tables: Tables, table: str, cost: Cost, keys: Level) -> Figures:
    """Work out the cost of every step and period whose total is known.

    Args:
        tables: open connection that sees all tables of the spec.
        table: the steps.
        cost: what they spent, what they share, and by what.
        keys: columns of the level of the answers.

    Returns:
        Answers: `value` is US$/kWh, `class` the largest part of the cost, null until the output is known. Further
        tables: `figure` with `cost_usd`, `final_cost_usd`, `output_kwh` and `usd_per_kwh` by level, `part` with the
        `cost_usd` of each element.

    Raises:
        CellworksError: the steps do not cost what the period did, or a pool cannot be shared.
    """
    _refuse_missing(tables, table, cost, keys)
    levels = levels_of(keys, *cost.roll_up, cost.period)
    columns = list(dict.fromkeys(name for level in levels for name in level))
    period, step = listed(cost.period), quote_identifier(cost.step)
    make(tables, "cw_whole", _wholes(tables, cost))
    make(tables, "cw_step", f"FROM {tables.relation(table)} SEMI JOIN cw_whole USING ({period})")
    make(tables, "cw_pool", _pools(tables, cost))
    make(tables, "cw_weight", _weights(cost))
    _refuse_unshared(tables, cost)
    make(tables, "cw_leaf", _leaves(cost))
    make(tables, "cw_spent", f"SELECT {period}, {step}, sum(cost_usd) AS cost_usd FROM cw_leaf GROUP BY ALL")
    make(tables, "cw_figure", _figures(cost, levels))
    make(
        tables,
        "cw_part",
        " UNION ALL BY NAME ".join(
            of_level(level, "element, sum(cost_usd) AS cost_usd", "cw_leaf") for level in levels
        ),
    )
    if worst := missed_wholes(tables, ("cw_figure", "cost_usd"), ("cw_part", "cost_usd"), columns):
        what, level, whole, parts, least = worst[0]
        raise does_not_add_up(
            f"steps that together cost what '{cost.total.table}' says, and no cost below 0",
            f"{what} ({level}): parts of {parts} US$, the least {least} US$, of {whole} US$",
            "see which cost the tables of steps and pools leave out, or count twice",
        )
    order = listed(columns)
    return Figures(
        tables.con.execute(_answers(cost, keys), {"above": cost.above_ratio, "top_k": cost.top_k}).to_arrow_table(),
        {
            "figure": tables.arrow(f"FROM cw_figure ORDER BY level, {order}"),
            "part": tables.arrow(f"FROM cw_part ORDER BY level, {order}, cost_usd DESC, element"),
        },
        _checks(tables, table, cost),
    )


def _refuse_missing(tables: Tables, table: str, cost: Cost, keys: Level) -> None:
    tables.columns_with(table, [*keys, *cost.columns], "indicator")
    pools, total = cost.pools, cost.total
    tables.columns_with(pools.table, [*cost.period, pools.pool, pools.amount], "indicator.pools")
    named = [*cost.period, total.cost, total.output, *([total.is_final] if total.is_final else [])]
    tables.columns_with(total.table, named, "indicator.total")


def _wholes(tables: Tables, cost: Cost) -> str:
    """What each period cost and made, where that is known."""
    q, total = quote_identifier, cost.total
    final = "true" if total.is_final is None else f"coalesce({q(total.is_final)}, false)"
    return f"""
        SELECT {listed(cost.period)}, {q(total.cost)}::DOUBLE AS cost_usd, {q(total.output)}::DOUBLE AS output_kwh,
            {final} AS is_final
        FROM {tables.relation(total.table)} WHERE {q(total.cost)} IS NOT NULL
    """


def _pools(tables: Tables, cost: Cost) -> str:
    q, pools = quote_identifier, cost.pools
    return f"""
        SELECT {listed(cost.period)}, {q(pools.pool)}::VARCHAR AS pool, sum({q(pools.amount)}::DOUBLE) AS cost_usd
        FROM {tables.relation(pools.table)} SEMI JOIN cw_whole USING ({listed(cost.period)})
        GROUP BY ALL HAVING cost_usd <> 0
    """


def _weights(cost: Cost) -> str:
    """By period, pool and step the share of the pool: by the first driver that the period has any of."""
    period, step = listed(cost.period), quote_identifier(cost.step)
    given = " UNION ALL ".join(
        f"SELECT {period}, {step}, {quote_literal(pool)} AS pool, {place} AS place, "
        f"coalesce({quote_identifier(driver)}, 0)::DOUBLE AS weight FROM cw_step"
        for pool, drivers in cost.pools.drivers.items()
        for place, driver in enumerate(drivers)
    )
    return f"""
        WITH given AS ({given}),
        summed AS (SELECT {period}, pool, place, sum(weight) AS whole FROM given GROUP BY ALL HAVING whole > 0),
        chosen AS (SELECT {period}, pool, min(place) AS place FROM summed GROUP BY ALL)
        SELECT {period}, pool, {step}, weight / whole AS share
        FROM given JOIN summed USING ({period}, pool, place) JOIN chosen USING ({period}, pool, place)
    """


def _refuse_unshared(tables: Tables, cost: Cost) -> None:
    period = listed(cost.period)
    lacking = tables.con.execute(
        f"SELECT concat_ws(' ', pool, {period}) FROM cw_pool ANTI JOIN cw_weight USING ({period}, pool) ORDER BY 1"
    ).fetchall()
    if lacking:
        raise CellworksError(
            "pools of cost have no driver, so that no step can be told its share",
            expected=f"a driver above 0 for each pool of {cost.pools.table}",
            found=told("", (str(name) for (name,) in lacking)),
            mend="name a driver under `indicator.pools.drivers`; one that every period has comes last",
        )


def _leaves(cost: Cost) -> str:
    """What each step and period cost, by element: direct cost by its column, shared cost by its pool."""
    period, step = listed(cost.period), quote_identifier(cost.step)
    direct = " UNION ALL ".join(
        f"SELECT {period}, {step}, {quote_literal(name.removesuffix(_SUFFIX))} AS element, "
        f"coalesce({quote_identifier(name)}, 0)::DOUBLE AS cost_usd FROM cw_step"
        for name in cost.direct
    )
    return f"""
        SELECT {period}, {step}, element, sum(cost_usd) AS cost_usd FROM (
            {direct}
            UNION ALL SELECT {period}, {step}, pool AS element, cost_usd * share AS cost_usd
            FROM cw_pool JOIN cw_weight USING ({period}, pool))
        GROUP BY ALL
    """


def _figures(cost: Cost, levels: list[Level]) -> str:
    """Cost and output of every level: of periods as they were told, of steps as they add up."""
    period = listed(cost.period)
    make_whole = f"""
        cw_made AS (
            SELECT cw_spent.*, output_kwh, is_final FROM cw_spent
            JOIN (SELECT * EXCLUDE (cost_usd) FROM cw_whole) USING ({period}))"""
    what = """
        sum(cost_usd) AS cost_usd, coalesce(sum(cost_usd) FILTER (is_final), 0) AS final_cost_usd,
        coalesce(sum(output_kwh) FILTER (is_final), 0) AS output_kwh"""
    rolled = " UNION ALL BY NAME ".join(
        of_level(level, what, "cw_made" if cost.step in level else "cw_whole") for level in levels
    )
    return f"""
        WITH {make_whole}
        SELECT *, final_cost_usd / nullif(output_kwh, 0) AS usd_per_kwh FROM ({rolled}) WHERE cost_usd IS NOT NULL
    """


def _answers(cost: Cost, keys: Level) -> str:
    """Figures of the keys' level; two parameters: the multiple of the standard, and `top_k`."""
    standard = "CAST(NULL AS DOUBLE)" if cost.standard is None else f"avg({quote_identifier(cost.standard)})"
    level = quote_literal(level_name(keys))
    return f"""
        WITH largest AS (
            SELECT {listed(keys)}, list((element, cost_usd) ORDER BY cost_usd DESC, element) AS parts
            FROM cw_part WHERE level = {level} GROUP BY ALL),
        known AS (
            SELECT {listed(keys)}, max({quote_identifier(cost.end)}) AS event_at, {standard} AS standard
            FROM cw_step GROUP BY ALL)
        SELECT {listed(keys, "cw_figure.")}, event_at, usd_per_kwh AS value,
            CASE WHEN usd_per_kwh IS NOT NULL THEN parts[1][1] END AS class,
            coalesce(usd_per_kwh > $above * standard, false) AS is_flagged,
            to_json([{{
                'feature': each[1], 'value': round(each[2], 2), 'contribution': round(each[2] / nullif(cost_usd, 0), 4)
            }} FOR each IN parts[:$top_k]])::VARCHAR AS reasons
        FROM cw_figure
        JOIN known ON {same(keys, "cw_figure", "known")}
        JOIN largest ON {same(keys, "cw_figure", "largest")}
        WHERE level = {level}
    """


def _checks(tables: Tables, table: str, cost: Cost) -> dict[str, tuple[bool, str]]:
    period = listed(cost.period)
    untold = tables.con.execute(
        f"SELECT DISTINCT concat_ws(' ', {period}) FROM {tables.relation(table)} ANTI JOIN cw_whole USING ({period}) "
        "ORDER BY 1"
    ).fetchall()
    unused: pa.Table = tables.arrow("SELECT DISTINCT pool FROM cw_pool ORDER BY 1")
    strange = [pool for pool in cost.pools.drivers if pool not in unused.column("pool").to_pylist()]
    return {
        "adds_up": (True, f"the steps of each period cost what {cost.total.table} says, at every level"),
        "complete": (not untold, told("periods whose cost is not known: ", (str(name) for (name,) in untold))),
        "all_mapped": (not strange, told("pools with a driver and without cost: ", strange)),
    }
