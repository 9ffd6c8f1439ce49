"""Levels of figures: how records are rolled up, and that the parts of every level are its whole. Of all kinds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from models.features.source import Tables
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier, quote_literal

Level = list[str]
Checks = dict[str, tuple[bool, str]]
TOLERANCE = 1e-9
"""Share of the whole by which its parts may miss it: what adding doubles costs."""


@dataclass(frozen=True)
class Figures:
    """What a kind of indicator works out.

    Attributes:
        answers: A row per row of figures of the keys: the keys, `event_at`, `value`, `class` (null while nothing can be
            said yet), `is_flagged`, `reasons` (JSON).
        current: Further tables as they stand now, by the end of their name.
        checks: Check -> whether it passed, and a sentence.
    """

    answers: pa.Table
    current: dict[str, pa.Table]
    checks: Checks = field(default_factory=dict)


def levels_of(keys: Level, *others: Level) -> list[Level]:
    """Levels, each once: that of the answers, the others, and the whole."""
    levels = [list(keys), *(list(level) for level in others), []]
    return [level for place, level in enumerate(levels) if level not in levels[:place]]


def listed(columns: Iterable[str], of: str = "") -> str:
    """Columns of a relation, between commas."""
    return ", ".join(of + quote_identifier(name) for name in columns)


def same(columns: Iterable[str], left: str, right: str) -> str:
    """That two relations agree in columns, empty ones included."""
    pairs = (
        f"{left}.{quote_identifier(name)} IS NOT DISTINCT FROM {right}.{quote_identifier(name)}" for name in columns
    )
    return " AND ".join(("true", *pairs))


def level_name(level: Level) -> str:
    """How a level is called in the column `level`."""
    return " x ".join(level) or "all"


def of_level(level: Level, what: str, relation: str) -> str:
    """SQL of sums of a relation at one level, with the columns that the level is by."""
    by = "".join(f", {quote_identifier(name)}" for name in level)
    return f"SELECT {quote_literal(level_name(level))} AS level {by}, {what} FROM {relation} GROUP BY ALL"


def make(tables: Tables, name: str, sql: str, parameters: dict[str, object] | None = None) -> None:
    """Keep what a query gives as a table of the connection."""
    tables.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}", parameters or {})


def missed_wholes(
    tables: Tables, whole: tuple[str, str], part: tuple[str, str], columns: Iterable[str]
) -> list[tuple[str, str, float | None, float | None, float | None]]:
    """Rows of a relation whose parts in another one do not add up to them, or are below 0, the worst first.

    Args:
        tables: open connection that holds both relations, each with `level`.
        whole: relation, and its column that the parts are of.
        part: relation, and its column of a part.
        columns: columns of all levels.

    Returns:
        What it is by, its level, the whole, the sum of its parts, and the least of them.
    """
    by = list(columns)
    summed = f"""
        WITH added AS (
            SELECT level {"".join(", " + quote_identifier(name) for name in by)},
                sum({part[1]}) AS summed, min({part[1]}) AS least
            FROM {part[0]} GROUP BY ALL)
        SELECT concat_ws(' ', {listed(by, "whole.") or "''"}) AS what, whole.level, whole.{whole[1]}, summed, least
        FROM {whole[0]} AS whole LEFT JOIN added ON {same(("level", *by), "whole", "added")}
        WHERE NOT coalesce(
            abs(summed - whole.{whole[1]}) <= $tolerance * abs(whole.{whole[1]})
            AND least >= -$tolerance * abs(whole.{whole[1]}), false)
        ORDER BY abs(summed - whole.{whole[1]}) DESC NULLS FIRST
    """
    return tables.con.execute(summed, {"tolerance": TOLERANCE}).fetchall()


def does_not_add_up(expected: str, found: str, mend: str) -> CellworksError:
    """The error of figures that do not reconcile."""
    return CellworksError(
        "the parts do not add up to the whole; nothing was written", expected=expected, found=found, mend=mend
    )


def told(what: str, found: Iterable[str], most: int = 5) -> str:
    """The first of what a check found, and how many more; empty for none."""
    names = list(found)
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{what}{', '.join(names[:most])}{more}"
