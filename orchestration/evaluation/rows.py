"""A solution's newest answers beside the rows that they were worked out from, as the lake had them then."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from models.scoring.table import relation
from models.solution import SolutionSpec
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier


def newest_answers(spec: SolutionSpec, home: Home, version: str) -> pa.Table:
    """The newest answer of each entity (keys, event_at, value, class, is_flagged, reasons, lake_snapshot)."""
    keys = ", ".join(quote_identifier(key) for key in spec.keys)
    with reader(home) as con:
        return con.execute(
            f"""
            SELECT {keys}, event_at, value, class, is_flagged, CAST(reasons AS VARCHAR) AS reasons, lake_snapshot
            FROM {relation(spec.slug)} WHERE model_version::VARCHAR = ?
            QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY scored_at DESC) = 1
            """,
            [version],
        ).to_arrow_table()


def beside_rows(spec: SolutionSpec, home: Home, answers: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Each answer with columns of its row at the newest snapshot that was answered; they are called `row_<column>`."""
    snapshot = int(max(answers.column("lake_snapshot").to_pylist()))
    named = ", ".join(f"rows.{quote_identifier(name)} AS {quote_identifier('row_' + name)}" for name in columns)
    using = ", ".join(quote_identifier(key) for key in spec.keys)
    table = ".".join(quote_identifier(part) for part in spec.table.removeprefix("lake.").split("."))
    with reader(home, snapshot=snapshot) as con:
        con.register("answers", answers)
        return con.execute(
            f"SELECT answers.*, {named} FROM answers JOIN lake.{table} AS rows USING ({using}) ORDER BY {using}"
        ).to_arrow_table()
