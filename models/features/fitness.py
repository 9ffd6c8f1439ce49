"""Whether a person's own table can feed its solution tonight; asked before its content is published."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from models.solution import SolutionSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import columns_sql, quote_identifier, quote_relation


def refuse_unfit(con: DuckDBPyConnection, spec: SolutionSpec) -> None:
    """Refuse a table that has lost a named column, or whose keys no longer name one row.

    Args:
        con: a connection to the lake.
        spec: the solution; its `table` is the lake's copy.

    Raises:
        CellworksError: what is wrong, with counts.
    """
    relation = quote_relation(f"lake.{spec.table}")
    columns = {str(row[0]) for row in con.execute(f"DESCRIBE {relation}").fetchall()}
    absent = [name for name in spec.named_columns if name not in columns]
    if absent:
        raise _unfit(spec, "columns are missing", f"no {', '.join(absent)}", "every column that defs.yaml names")
    nulls = " OR ".join(f"{quote_identifier(key)} IS NULL" for key in spec.keys)
    keys = columns_sql(spec.keys)
    row = con.execute(
        f"SELECT count(*), count(*) FILTER ({nulls}), (SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {relation})) "
        f"FROM {relation}"
    ).fetchone()
    rows, without, distinct = (int(value) for value in row) if row else (0, 0, 0)
    named = ", ".join(spec.keys)
    if without:
        raise _unfit(spec, f"the key {named} is missing", f"{without} of {rows} rows without it", "a key in every row")
    if distinct != rows:
        raise _unfit(spec, f"the key {named} does not name one row", f"{distinct} keys in {rows} rows", "unique keys")


def _unfit(spec: SolutionSpec, what: str, found: str, expected: str) -> CellworksError:
    return CellworksError(
        f"{spec.solution}: {what} in tonight's table",
        expected=expected,
        found=found,
        mend="mend the table; until then the last good content and its champion stay",
        where=spec.solution,
    )
