"""What all kinds of figures share when they are worked out again: rows as the lake had them, and parts of a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from models.indicator.spec import IndicatorSpec
from pipelines.control_plan.site import Site
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier, quote_literal
from pipelines.lake.tables import has_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Asked:
    """What is to be worked out again.

    Attributes:
        spec: the solution.
        site: its rates and machines.
        home: the instance.
        now: the plant's now of the answers (UTC, naive).
        snapshot: of the lake that they were worked out from.
    """

    spec: IndicatorSpec
    site: Site
    home: Home
    now: datetime
    snapshot: int


@dataclass(frozen=True)
class Anew:
    """Figures of a kind, worked out again.

    Attributes:
        answers: by the spec's keys (its index) `value`, and `class` where the kind is to be compared in it too.
        gap: the largest share of a whole by which its parts, as they were told, miss it.
        parts: what the parts are called.
    """

    answers: pd.DataFrame
    gap: float
    parts: str


def rows_of(home: Home, snapshot: int, table: str, columns: Iterable[str]) -> pd.DataFrame:
    """Columns of all rows of a table as the lake had it.

    Args:
        home: the instance.
        snapshot: of the lake.
        table: as the solution names it.
        columns: each once or more often.
    """
    named = ", ".join(quote_identifier(name) for name in dict.fromkeys(columns))
    relation = ".".join(quote_identifier(part) for part in table.removeprefix("lake.").split("."))
    with reader(home, snapshot=snapshot) as con:
        rows: pd.DataFrame = con.execute(f"SELECT {named} FROM lake.{relation}").to_arrow_table().to_pandas()
    return rows


def unreconciled(home: Home, slug: str, whole: tuple[str, str], part: tuple[str, str], named: Iterable[str]) -> float:
    """The largest share of a whole by which its parts miss it, of any row of any level.

    Args:
        home: the instance.
        slug: of the solution.
        whole: end of the table's name, and its column that the parts are of; rows where it is 0 are passed over.
        part: end of the table's name, and its column of a part.
        named: columns that tell the parts of one whole apart.
    """
    with reader(home) as con:
        if not has_table(con, "solutions", f"{slug}_{part[0]}"):
            return float("inf")
        figure, parts = (f"lake.solutions.{quote_identifier(f'{slug}_{end}')}" for end in (whole[0], part[0]))
        apart = ", ".join(quote_literal(name) for name in (*named, part[1]))
        columns = [
            name
            for (name,) in con.execute(
                "SELECT column_name FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = 'solutions' "
                f"AND table_name = {quote_literal(f'{slug}_{part[0]}')} AND column_name NOT IN ({apart})"
            ).fetchall()
        ]
        same = " AND ".join(
            f"f.{quote_identifier(name)} IS NOT DISTINCT FROM p.{quote_identifier(name)}" for name in columns
        )
        by = ", ".join(quote_identifier(name) for name in columns)
        size = f"f.{quote_identifier(whole[1])}"
        row = con.execute(
            f"""
            WITH p AS (SELECT {by}, sum({quote_identifier(part[1])}) AS summed FROM {parts} GROUP BY ALL)
            SELECT max(coalesce(abs(p.summed - {size}) / abs({size}), 'inf'::DOUBLE))
            FROM {figure} AS f LEFT JOIN p ON {same} WHERE {size} <> 0
            """
        ).fetchone()
    return float(row[0]) if row and row[0] is not None else float("inf")
