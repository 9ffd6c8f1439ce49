"""Parquet files: typed rows as a query over the files, so that nothing is kept of them before they are written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.ingest.connector import Delivery
from pipelines.ingest.judging import judge_files
from pipelines.ingest.part import Adoption, Part, UnreadableError
from pipelines.ingest.rules import Rules, casts
from pipelines.ingest.staging import files_sql, first_line, is_about_the_machine, source_sql
from pipelines.lake.sql import quote_identifier, quote_literal

_EMPTY = "''"


def stage_parquet(con: DuckDBPyConnection, rules: Rules, deliveries: list[Delivery]) -> Part:
    """Judge Parquet files of one schema without keeping their rows.

    Args:
        con: a connection outside a transaction.
        rules: rules of the feed.
        deliveries: files with the same columns and types.

    Raises:
        UnreadableError: one file can't be read (only when there is but one).
        duckdb.Error: one of several files can't be read; read them one by one.
    """
    part = Part(rules.feed, deliveries)
    try:
        found = column_types(con, deliveries[0])
        present = {name: kind for name, kind in found.items() if name in rules.schema}

        def typed(some: Sequence[Delivery]) -> str:
            return _typed_sql(rules, present, some)

        def adoption_of(delivery: Delivery, day: date) -> Adoption | None:
            return Adoption(delivery, delivery.file, day) if present == rules.schema else None

        if bad := judge_files(con, rules, part, typed, adoption_of):
            part.bad_sql = (
                "SELECT _source AS source, _position AS position, reason, _text AS raw_text, 'json' AS raw_format, "
                f"CAST(NULL AS VARCHAR) AS raw_header FROM {bad}"
            )
    except duckdb.Error as error:
        if len(deliveries) > 1 or is_about_the_machine(error):
            raise
        raise UnreadableError(deliveries[0], f"the Parquet file is broken: {first_line(error)}") from error
    return part


def column_types(con: DuckDBPyConnection, delivery: Delivery) -> dict[str, str]:
    """DuckDB types of a Parquet file's columns."""
    rows = con.execute(f"DESCRIBE SELECT * FROM read_parquet({quote_literal(delivery.file)})").fetchall()
    return {str(name): str(kind) for name, kind, *_ in rows}


def _typed_sql(rules: Rules, present: dict[str, str], deliveries: Sequence[Delivery]) -> str:
    """Query of the typed columns with what is said of a row."""
    columns, misfit = casts(rules.schema, present, {name: quote_identifier(name) for name in present})
    # As delivered: cast, a value of another type is NULL, and a replay would take the row in as not measured.
    fields = ", ".join(f"{quote_identifier(name)} := {quote_identifier(name)}" for name in present)
    return (
        f"SELECT {columns}, file_index AS _file, {source_sql(deliveries)} AS _source, "
        f"file_row_number + 1 AS _position, {misfit} AS _misfit, {_is_rewritten(rules, present)} AS _is_rewritten"
        f", CAST(to_json(struct_pack({fields})) AS VARCHAR) AS _text "
        f"FROM read_parquet({files_sql(deliveries)}, file_row_number = true)"
    )


def _is_rewritten(rules: Rules, present: dict[str, str]) -> str:
    """Whether the lake must hold a row otherwise than its file does: an empty text is a missing value."""
    texts = [quote_identifier(name) for name, kind in present.items() if kind == rules.schema[name] == "VARCHAR"]
    return f"coalesce({' OR '.join(f'{text} = {_EMPTY}' for text in texts) or 'false'}, false)"
