"""Records that come as text, one JSON object each: JSON lines, rows of a database, quarantined rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa
from duckdb import DuckDBPyConnection

from pipelines.ingest.connector import Delivery, TextRow, unknown_columns
from pipelines.ingest.drop_folder import MAX_LINE_BYTES, open_bytes
from pipelines.ingest.part import Part
from pipelines.ingest.rules import Rules, casts
from pipelines.ingest.staging import judge, temporary_name
from pipelines.lake.sql import quote_literal

_CHUNK_ROWS = 20_000


def json_lines(delivery: Delivery) -> Iterator[TextRow]:
    """Lines of a file of JSON lines; blank ones are passed over."""
    with open_bytes(delivery.file) as file:
        position = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            position += 1
            if not line.strip():
                continue
            try:
                text = line.decode("utf-8-sig" if position == 1 else "utf-8").rstrip("\r\n")
                yield TextRow(position, text.replace("\x00", "\\u0000"))
            except UnicodeDecodeError:
                replaced = line.decode("utf-8", errors="replace").rstrip("\r\n").replace("\x00", "\ufffd")
                yield TextRow(position, replaced, "the line is not UTF-8")


def stage_text(con: DuckDBPyConnection, rules: Rules, deliveries: list[Delivery]) -> Part:
    """Read deliveries of text records into a temporary table and judge each row.

    Args:
        con: a connection outside a transaction.
        rules: rules of the feed.
        deliveries: files of JSON lines, or rows of a database.
    """
    part = Part(rules.feed, deliveries)
    text = temporary_name("text")
    con.execute(f"CREATE TEMP TABLE {text} (_source VARCHAR, _position BIGINT, _text VARCHAR, _problem VARCHAR)")
    part.tables.append(text)
    for delivery in deliveries:
        rows = delivery.rows() if delivery.rows is not None else json_lines(delivery)
        append_text(con, text, delivery.source, rows)
    stage_table(con, rules, part, text)
    if deliveries[0].format == "jsonl":  # a database is asked for the columns of the plan, and has others
        part.remarks = _unknown_fields(con, rules, text)
    return part


def _unknown_fields(con: DuckDBPyConnection, rules: Rules, text: str) -> dict[str, str]:
    """A remark for each source with fields that the feed does not have: most likely misspelt."""
    found: dict[str, str] = {}
    for source, names in con.execute(
        "SELECT _source, list(DISTINCT name ORDER BY name) FROM (SELECT _source, "
        f"unnest(CASE WHEN _problem IS NULL AND json_valid(_text) THEN json_keys(_text) END) AS name FROM {text}) "
        f"WHERE name NOT IN ({', '.join(quote_literal(each) for each in rules.schema)}) GROUP BY _source"
    ).fetchall():
        found[str(source)] = unknown_columns(names)
    return found


def append_text(con: DuckDBPyConnection, table: str, source: str, rows: Iterable[TextRow]) -> None:
    """Append text records of a source to a table (_source, _position, _text, _problem), chunk by chunk."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK_ROWS)):
        arrow = pa.table(
            {
                "position": pa.array([row.position for row in chunk], pa.int64()),
                "text": pa.array([row.text for row in chunk], pa.string()),
                "problem": pa.array([row.problem or None for row in chunk], pa.string()),
            }
        )
        con.register("cw_text_chunk", arrow)
        con.execute(f"INSERT INTO {table} SELECT {quote_literal(source)}, position, text, problem FROM cw_text_chunk")
        con.unregister("cw_text_chunk")


def stage_table(con: DuckDBPyConnection, rules: Rules, part: Part, text: str) -> None:
    """Turn a table of text records into typed, judged rows; fills the part.

    Args:
        con: the connection that holds the table.
        rules: rules of the feed.
        part: gets counts, `good_sql` and `bad_sql`.
        text: table with _source, _position, _text and _problem (NULL when there is none).
    """
    staged = temporary_name("rows")
    part.tables.append(staged)
    paths = ", ".join(quote_literal(_json_path(name)) for name in rules.schema)
    # An empty text is a missing value, as in CSV.
    sources = {name: f"nullif(_values[{number}], '')" for number, name in enumerate(rules.schema, 1)}
    columns, misfit = casts(rules.schema, dict.fromkeys(rules.schema, "JSON"), sources)
    con.execute(
        f"""
        CREATE TEMP TABLE {staged} AS
        WITH checked AS (
            SELECT *, CASE WHEN _problem IS NOT NULL OR _text IS NULL OR NOT json_valid(_text) THEN false
                -- Not AND: DuckDB may look at the type first, which fails on what is no JSON.
                ELSE json_type(_text) = 'OBJECT' END AS _is_object
            FROM {text}
        ), parsed AS (
            SELECT *, CASE WHEN _is_object THEN json_extract_string(_text, [{paths}]) END AS _values FROM checked
        ), typed AS (
            SELECT _source, _position, _text, {columns}, CASE WHEN _problem IS NOT NULL THEN _problem
                WHEN NOT _is_object THEN 'not a JSON object' ELSE {misfit} END AS _misfit
            FROM parsed
        )
        SELECT typed.*, (_misfit IS NOT NULL OR {rules.is_bad}) AS _is_bad FROM typed{rules.joins}
        """
    )
    judge(con, rules, part, staged)
    part.bad_sql = (
        f"SELECT _source AS source, _position AS position, coalesce(_misfit, {rules.reason}) AS reason, "
        "_text AS raw_text, 'json' AS raw_format, CAST(NULL AS VARCHAR) AS raw_header "
        f"FROM {staged} AS typed{rules.joins} WHERE _is_bad"
    )


def _json_path(column: str) -> str:
    return '$."' + column.replace('"', '\\"') + '"'


def as_json(columns: Iterable[str], values: Iterable[str]) -> str:
    """A CSV record as the JSON object that stands for it."""
    return json.dumps(dict(zip(columns, values, strict=True)))
