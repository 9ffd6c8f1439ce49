"""Performance of an alarm system after ISA-18.2 and IEC 62682, from the log of its annunciations.

Load is alarms per operator and window of 10 minutes. A flood begins with a window of 10 and ends before the first one
below 5. An alarm chatters where it was raised three times within a minute, and is stale where it stands for a day. Each
annunciation has one nature, the first of chattering, stale, flood and single that it is, so that natures add up to the
load at every level. What follows what is told by floods: alarms in the order in which each first comes in a flood.
"""

from __future__ import annotations

from datetime import datetime

from models.features.source import Tables
from models.indicator import alarms_sql
from models.indicator.alarms_spec import Alarms
from models.indicator.levels import (
    Checks,
    Figures,
    Level,
    does_not_add_up,
    levels_of,
    listed,
    make,
    missed_wholes,
    of_level,
    told,
)


def alarm_figures(tables: Tables, table: str, alarms: Alarms, keys: Level, now: datetime) -> Figures:
    """Work out the figures of all annunciations raised until a moment.

    Args:
        tables: open connection that sees the table.
        table: the annunciations.
        alarms: which columns, and the limits of the standard.
        keys: columns of the level of the answers.
        now: the plant's now (UTC, naive): an alarm that did not return has stood until then.

    Returns:
        Answers: `value` is the number of annunciations, `class` the worst nature among them (null while one may still
        become stale), flagged where they chatter or are stale. Further tables: `figure` and `nature` by level, `load`
        by level of periods, `top` the most frequent alarms, `flood` each flood, `chain` what follows what in floods.

    Raises:
        CellworksError: natures do not add up to the annunciations, as where a column of a level is ambiguous.
    """
    tables.columns_with(table, [*keys, *alarms.columns], "indicator")
    levels = levels_of(keys, *alarms.roll_up, alarms.period)
    columns = list(dict.fromkeys(name for level in levels for name in level))
    make(tables, "cw_raised", alarms_sql.raised(tables.relation(table), alarms, columns), {"now": now})
    make(tables, "cw_window", alarms_sql.windows(alarms), {"now": now})
    make(tables, "cw_flood", alarms_sql.floods(alarms))
    make(tables, "cw_leaf", alarms_sql.leaves(alarms, columns), {"now": now})
    make(tables, "cw_figure", alarms_sql.figures(alarms, levels))
    make(
        tables,
        "cw_nature",
        " UNION ALL BY NAME ".join(of_level(level, "nature, count(*) AS alarm_count", "cw_leaf") for level in levels),
    )
    if worst := missed_wholes(tables, ("cw_figure", "alarm_count"), ("cw_nature", "alarm_count"), columns):
        what, level, whole, parts, _ = worst[0]
        raise does_not_add_up(
            "one nature for each annunciation",
            f"{what} ({level}): {parts} by their nature, {whole} raised",
            "correct the records of that period",
        )
    order = listed(columns)
    return Figures(
        tables.con.execute(alarms_sql.answers(alarms, keys), {"now": now}).to_arrow_table(),
        {
            "figure": tables.arrow(f"FROM cw_figure ORDER BY level, {order}"),
            "nature": tables.arrow(f"FROM cw_nature ORDER BY level, {order}, nature"),
            "load": tables.arrow(alarms_sql.loads(alarms, levels)),
            "top": tables.arrow(alarms_sql.top(alarms)),
            "flood": tables.arrow("FROM cw_flood ORDER BY flood_no"),
            "chain": tables.arrow(alarms_sql.chains(alarms)),
        },
        _checks(tables, alarms),
    )


def _checks(tables: Tables, alarms: Alarms) -> Checks:
    strange = tables.con.execute(
        "SELECT DISTINCT coalesce(_priority, 'none') FROM cw_raised "
        "WHERE _priority IS NULL OR NOT list_contains($known, _priority) ORDER BY 1",
        {"known": list(alarms.priorities)},
    ).fetchall()
    backward = tables.con.execute("SELECT count(*) FROM cw_raised WHERE _returned < _raised").fetchall()[0][0]
    return {
        "adds_up": (True, "natures add up to the annunciations, at every level"),
        "all_mapped": (
            not strange,
            told("priorities that the YAML does not name: ", (str(name) for (name,) in strange)),
        ),
        "plausible": (backward == 0, f"returned before they were raised: {backward:,}" if backward else ""),
    }
