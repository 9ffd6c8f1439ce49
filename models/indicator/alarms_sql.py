"""The SQL of the figures of alarms; `alarms.py` says what they mean.

Columns that a log may call as it likes are read under names that begin with an underscore; those of levels keep theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from models.indicator.alarms_spec import Alarms
from models.indicator.levels import Level, level_name, listed, of_level, same
from pipelines.lake.sql import quote_identifier, quote_literal

NATURES = ("chattering", "stale", "flood", "single")


def raised(relation: str, alarms: Alarms, columns: Iterable[str]) -> str:
    """Annunciations until now, each with its window and whether it is one of a chatter; one parameter, now."""
    q = quote_identifier
    name = ", ".join(f"CAST({q(each)} AS VARCHAR)" for each in alarms.alarm)
    # One of `count` within the time, wherever it stands among them.
    most = alarms.chatter_count - 1
    spans = " OR ".join(
        f"coalesce(epoch_us(lead(_raised, {most - back}) OVER own) - epoch_us(lag(_raised, {back}) OVER own)"
        f" <= {alarms.chatter_s * 1e6!r}, false)"
        for back in range(most + 1)
    )
    return f"""
        WITH read AS (
            SELECT {listed(columns)}, concat_ws('/', {name}) AS _alarm,
                CAST({q(alarms.priority)} AS VARCHAR) AS _priority,
                CAST({q(alarms.raised)} AS TIMESTAMP) AS _raised, CAST({q(alarms.returned)} AS TIMESTAMP) AS _returned
            FROM {relation} WHERE {q(alarms.raised)} <= $now)
        SELECT *, epoch_us(_raised) // {alarms.window_s * 1_000_000} AS _window, {spans} AS _chatters
        FROM read
        WINDOW own AS (PARTITION BY _alarm ORDER BY _raised)
    """


def windows(alarms: Alarms) -> str:
    """Every window from the first annunciation until now, with its count and whether it is flooded.

    A window is as flooded as the last one before it that decided: full ones do, and quiet ones.
    """
    begins, ends = alarms.flood_from * alarms.operators, alarms.flood_below * alarms.operators
    return f"""
        WITH every AS (
            SELECT unnest(generate_series(
                (SELECT min(_window) FROM cw_raised),
                epoch_us($now::TIMESTAMP) // {alarms.window_s * 1_000_000})) AS _window),
        counted AS (
            SELECT _window, count(_alarm) AS alarm_count
            FROM every LEFT JOIN cw_raised USING (_window) GROUP BY _window)
        SELECT *, coalesce(last_value(
                CASE WHEN alarm_count >= {begins!r} THEN true WHEN alarm_count < {ends!r} THEN false END IGNORE NULLS
            ) OVER (ORDER BY _window), false) AS is_flooded
        FROM counted
    """


def floods(alarms: Alarms) -> str:
    """Each flood: when it began and ended, how many alarms it brought, and the most of a window."""
    at = "make_timestamp({} * " + str(alarms.window_s * 1_000_000) + ")"
    return f"""
        WITH marked AS (
            SELECT *, is_flooded AND NOT coalesce(lag(is_flooded) OVER (ORDER BY _window), false) AS begins
            FROM cw_window),
        numbered AS (
            SELECT *, sum(begins::INTEGER) OVER (ORDER BY _window) AS flood_no FROM marked)
        SELECT flood_no::BIGINT AS flood_no, {at.format("min(_window)")} AS began_at,
            {at.format("(max(_window) + 1)")} AS ended_at, sum(alarm_count)::BIGINT AS alarm_count,
            max(alarm_count)::BIGINT AS peak_count, min(_window) AS _from, max(_window) AS _to
        FROM numbered WHERE is_flooded GROUP BY flood_no
    """


def leaves(alarms: Alarms, columns: Iterable[str]) -> str:
    """Annunciations with their nature, the flood that they are in, and how long they stood; one parameter, now."""
    stands = f"epoch_us(least(coalesce(_returned, $now), $now)) - epoch_us(_raised) > {alarms.stale_h * 3600e6!r}"
    return f"""
        SELECT {listed(columns)}, _alarm, _priority, _raised, _window, flood_no, _chatters, {stands} AS _is_stale,
            CASE WHEN _chatters THEN 'chattering' WHEN {stands} THEN 'stale'
                WHEN flood_no IS NOT NULL THEN 'flood' ELSE 'single' END AS nature
        FROM cw_raised LEFT JOIN cw_flood ON _window BETWEEN _from AND _to
    """


def figures(alarms: Alarms, levels: Iterable[Level]) -> str:
    """Counts of every level, and the share of each priority."""
    counted = "".join(
        f", count(*) FILTER (_priority = {quote_literal(name)}) AS {quote_identifier(f'{name}_count')}"
        for name in alarms.priorities
    )
    shares = "".join(
        f", {quote_identifier(f'{name}_count')} / alarm_count AS {quote_identifier(f'{name}_ratio')}"
        for name in alarms.priorities
    )
    what = f"""
        count(*) AS alarm_count, count(DISTINCT _alarm) AS distinct_count,
        count(*) FILTER (_chatters) AS chattering_count, count(*) FILTER (_is_stale) AS stale_count,
        count(*) FILTER (flood_no IS NOT NULL) AS flood_count,
        max(_raised) AS until_at {counted}"""
    rolled = " UNION ALL BY NAME ".join(of_level(level, what, "cw_leaf") for level in levels)
    return f"SELECT * {shares} FROM ({rolled})"


def loads(alarms: Alarms, levels: Iterable[Level]) -> str:
    """Load of the whole and of each level that is by periods alone: per operator and window, in floods, of the top.

    A window belongs to the period of its first annunciation; one without any to that of the window before it.
    """
    periods = [level for level in levels if set(level) <= set(alarms.period)]
    period = listed(alarms.period)
    first = ", ".join(f"arg_min({name}, _raised) AS {name}" for name in map(quote_identifier, alarms.period))
    last = ", ".join(
        f"last_value({name} IGNORE NULLS) OVER (ORDER BY _window) AS {name}"
        for name in map(quote_identifier, alarms.period)
    )
    place = f"""
        placed AS (
            SELECT _window, {last}, alarm_count, is_flooded
            FROM cw_window LEFT JOIN (SELECT _window, {first} FROM cw_leaf GROUP BY _window) USING (_window))"""
    what = f"""
        count(*) AS window_count, sum(alarm_count)::BIGINT AS alarm_count,
        avg(alarm_count) / {alarms.operators} AS alarms_per_operator_window,
        max(alarm_count) / {alarms.operators} AS peak_per_operator_window,
        avg(is_flooded::INTEGER) AS flooded_ratio, count(*) FILTER (is_flooded) AS flooded_window_count"""
    rolled = " UNION ALL BY NAME ".join(of_level(level, what, "placed") for level in periods)
    shares = " UNION ALL BY NAME ".join(
        of_level(level, f"sum(n) FILTER (place <= {alarms.top}) / sum(n) AS top_ratio", f"({_placed(level)})")
        for level in periods
    )
    return f"""
        WITH {place}, rolled AS ({rolled}), shared AS ({shares})
        SELECT rolled.*, top_ratio FROM rolled
        LEFT JOIN shared ON {same(("level", *alarms.period), "rolled", "shared")}
        ORDER BY level, {period}
    """


def _placed(level: Level) -> str:
    """Alarms of each row of a level with their number and their place, the most frequent first."""
    by = f"PARTITION BY {listed(level)}" if level else ""
    own = f"SELECT {listed([*level, '_alarm'])}, count(*) AS n FROM cw_leaf GROUP BY ALL"
    return f"SELECT *, row_number() OVER ({by} ORDER BY n DESC, _alarm) AS place FROM ({own})"


def top(alarms: Alarms) -> str:
    """The most frequent alarms of all time, with their share of the load and that of all before them."""
    return f"""
        WITH counted AS (SELECT _alarm AS alarm, count(*) AS alarm_count FROM cw_leaf GROUP BY ALL),
        ranked AS (
            SELECT *, row_number() OVER (ORDER BY alarm_count DESC, alarm) AS place, sum(alarm_count) OVER () AS whole
            FROM counted)
        SELECT place, alarm, alarm_count, alarm_count / whole AS ratio,
            (sum(alarm_count) OVER (ORDER BY place)) / whole AS ratio_so_far
        FROM ranked QUALIFY place <= {alarms.top} ORDER BY place
    """


def chains(alarms: Alarms) -> str:
    """What follows what in floods: pairs of alarms whose first annunciations in a flood come one after the other."""
    return f"""
        WITH first AS (
            SELECT flood_no, _alarm, min(_raised) AS came_at FROM cw_leaf WHERE flood_no IS NOT NULL GROUP BY ALL),
        followed AS (
            SELECT flood_no, _alarm AS first_alarm, came_at,
                lead(_alarm) OVER own AS then_alarm, lead(came_at) OVER own AS then_at
            FROM first WINDOW own AS (PARTITION BY flood_no ORDER BY came_at, _alarm))
        SELECT first_alarm, then_alarm, count(*) AS flood_count, count(*) / any_value(floods) AS of_floods_ratio,
            median(epoch_us(then_at) - epoch_us(came_at)) / 1e6 AS median_gap_s
        FROM followed
        JOIN (SELECT _alarm AS first_alarm, count(*) AS floods FROM first GROUP BY ALL) USING (first_alarm)
        WHERE then_alarm IS NOT NULL GROUP BY first_alarm, then_alarm
        HAVING flood_count >= {alarms.min_floods}
        ORDER BY flood_count DESC, first_alarm, then_alarm
    """


def answers(alarms: Alarms, keys: Level) -> str:
    """Figures of the keys' level as answers; one parameter, now.

    Nothing is said of a period while one of its alarms may still become stale.
    """
    level = quote_literal(level_name(keys))
    of_period = [name for name in alarms.period if name in keys]
    until = f"max(_raised) OVER (PARTITION BY {listed(of_period)})" if of_period else "max(_raised) OVER ()"
    order = ", ".join(map(quote_literal, NATURES))
    return f"""
        WITH decided AS (
            SELECT DISTINCT {listed(keys)}, epoch_us({until}) + {alarms.stale_h * 3600e6!r} < epoch_us($now::TIMESTAMP)
                AS is_decided FROM cw_leaf),
        natured AS (
            SELECT {listed(keys)}, list((nature, alarm_count) ORDER BY list_position([{order}], nature)) AS natures
            FROM cw_nature WHERE level = {level} GROUP BY ALL)
        SELECT {listed(keys, "cw_figure.")}, until_at AS event_at, alarm_count::DOUBLE AS value,
            CASE WHEN is_decided THEN natures[1][1] END AS class,
            is_decided AND natures[1][1] IN ('chattering', 'stale') AS is_flagged,
            to_json([{{'feature': each[1], 'value': each[2], 'contribution': round(each[2] / alarm_count, 4)}}
                FOR each IN natures])::VARCHAR AS reasons
        FROM cw_figure
        JOIN decided ON {same(keys, "cw_figure", "decided")}
        JOIN natured ON {same(keys, "cw_figure", "natured")}
        WHERE level = {level}
    """
