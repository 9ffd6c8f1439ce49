"""Parquet files: judged by aggregates, then inserted from the files or, when long and faultless, adopted whole.

An adopted file joins the lake as it is (DuckLake's `add_data_files`), its bookkeeping columns coming from the
folder it lies in: exact, in the same transaction, and several times faster than writing 30 M rows again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.ingest.connector import Delivery
from pipelines.ingest.part import Adoption, Part, UnreadableError
from pipelines.ingest.rules import Rules, casts
from pipelines.ingest.staging import files_sql, first_line, is_about_the_machine, source_sql
from pipelines.lake.home import Home
from pipelines.lake.sql import columns_sql, quote_identifier, quote_literal

ADOPT_ROWS = 200_000
_EMPTY = "''"
_MAX_NAME_BYTES = 200


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
        typed, is_exact = _typed_sql(rules, found, deliveries)
        inserted = _judge(con, rules, part, typed, is_adoptable=is_exact)
        if inserted:
            _plan_insert(con, rules, part, found, inserted)
    except duckdb.Error as error:
        if len(deliveries) > 1 or is_about_the_machine(error):
            raise
        raise UnreadableError(deliveries[0], f"the Parquet file is broken: {first_line(error)}") from error
    return part


def column_types(con: DuckDBPyConnection, delivery: Delivery) -> dict[str, str]:
    """DuckDB types of a Parquet file's columns."""
    rows = con.execute(f"DESCRIBE SELECT * FROM read_parquet({quote_literal(delivery.file)})").fetchall()
    return {str(name): str(kind) for name, kind, *_ in rows}


def _typed_sql(rules: Rules, found: dict[str, str], deliveries: list[Delivery]) -> tuple[str, bool]:
    """Query of the typed columns with what is said of a row, and whether all columns come in the raw types."""
    present = {name: kind for name, kind in found.items() if name in rules.schema}
    columns, misfit = casts(rules.schema, present, {name: quote_identifier(name) for name in present})
    # As delivered: cast, a value of another type is NULL, and a replay would take the row in as not measured.
    fields = ", ".join(f"{quote_identifier(name)} := {quote_identifier(name)}" for name in present)
    query = (
        f"SELECT {columns}, file_index AS _file, {source_sql(deliveries)} AS _source, "
        f"file_row_number + 1 AS _position, {misfit} AS _misfit, {_is_rewritten(rules, present)} AS _is_rewritten"
        f", CAST(to_json(struct_pack({fields})) AS VARCHAR) AS _text "
        f"FROM read_parquet({files_sql(deliveries)}, file_row_number = true)"
    )
    return query, present == rules.schema


def _is_rewritten(rules: Rules, present: dict[str, str]) -> str:
    """Whether the lake must hold a row otherwise than its file does: an empty text is a missing value."""
    texts = [quote_identifier(name) for name, kind in present.items() if kind == rules.schema[name] == "VARCHAR"]
    return f"coalesce({' OR '.join(f'{text} = {_EMPTY}' for text in texts) or 'false'}, false)"


def _judge(con: DuckDBPyConnection, rules: Rules, part: Part, typed: str, *, is_adoptable: bool) -> list[Delivery]:
    """Fill in the counts and adoptions; returns the files whose rows are to be inserted."""
    inserted = []
    for number, rows, is_faultless, newest, first, last in _examine(con, rules, typed):
        delivery = part.deliveries[number]
        is_long = rows >= ADOPT_ROWS and len(quote(delivery.source, safe="").encode()) <= _MAX_NAME_BYTES
        if is_faultless:
            part.count(delivery.source).add(int(rows), 0, newest)
        if is_adoptable and is_long and is_faultless and first == last:
            part.adopted.append(Adoption(delivery, first))
            part.days.add(first)
        else:
            inserted.append(delivery)
    return inserted


def _examine(con: DuckDBPyConnection, rules: Rules, typed: str) -> list[tuple[Any, ...]]:
    """By file: its number, rows, whether all are good, and if so the newest known_at, the first and the last day."""
    # Counting every column reads every page, so that a broken one shows now and not halfway through a transaction.
    every = ", ".join(f"count(typed.{quote_identifier(name)})" for name in rules.schema)
    said = ", ".join(
        f"CASE WHEN is_faultless THEN {each} END" for each in ("newest", rules.day("first_at"), rules.day("last_at"))
    )
    rows: list[tuple[Any, ...]] = con.execute(
        f"""
        SELECT _file, row_count, is_faultless, {said}, counts
        FROM (
            SELECT _file, count(*) AS row_count,
                count(_misfit) = 0 AND NOT bool_or(_is_rewritten) AND {rules.is_faultless} AS is_faultless,
                max(known_at) AS newest, min(event_at) AS first_at, max(event_at) AS last_at, [{every}] AS counts
            FROM ({typed}) AS typed{rules.joins} GROUP BY _file
        ) ORDER BY _file
        """
    ).fetchall()
    return [row[:-1] for row in rows]


def _count_again(con: DuckDBPyConnection, rules: Rules, part: Part, typed: str) -> None:
    """Counts of files that may hold bad rows."""
    for source, good, bad, newest in con.execute(
        "SELECT _source, count(*) FILTER (NOT _bad), count(*) FILTER (_bad), max(known_at) FILTER (NOT _bad) "
        f"FROM (SELECT typed.*, (_misfit IS NOT NULL OR {rules.is_bad}) AS _bad FROM ({typed}) AS typed{rules.joins}) "
        "GROUP BY _source"
    ).fetchall():
        part.count(str(source)).add(int(good), int(bad), newest)


def _plan_insert(
    con: DuckDBPyConnection, rules: Rules, part: Part, found: dict[str, str], deliveries: list[Delivery]
) -> None:
    """Queries that insert the good rows of the files and set the bad ones aside."""
    if doubtful := [each for each in deliveries if each.source not in part.counts]:
        _count_again(con, rules, part, _typed_sql(rules, found, doubtful)[0])
    typed, _ = _typed_sql(rules, found, deliveries)
    judged = f"FROM ({typed}) AS typed{rules.joins}"
    bad = f"(_misfit IS NOT NULL OR {rules.is_bad})"
    has_bad = any(part.count(each.source).bad for each in deliveries)
    if any(part.count(each.source).good for each in deliveries):
        good = f"{judged} WHERE NOT {bad}" if has_bad else f"FROM ({typed}) AS typed"
        columns = columns_sql(rules.schema, "typed")
        part.good_sql = f"SELECT {columns}, typed._source, {rules.day()} AS production_day {good}"
        part.days |= {day for (day,) in con.execute(f"SELECT DISTINCT {rules.day()} {good}").fetchall()}
    if has_bad:
        part.bad_sql = (
            "SELECT _source AS source, _position AS position, "
            f"coalesce(_misfit, {rules.reason}) AS reason, _text AS raw_text, 'json' AS raw_format, "
            f"CAST(NULL AS VARCHAR) AS raw_header {judged} WHERE {bad}"
        )


def adopt(con: DuckDBPyConnection, home: Home, feed: str, adoption: Adoption, batch_id: int) -> None:
    """Copy the file into the lake and register it; inside the batch's transaction.

    Without the commit the copy belongs to nothing and maintenance removes it.

    Raises:
        OSError: the copy can't be written.
    """
    # The names and their order are those of the table's partition keys.
    folder = (
        home.data_dir
        / "raw"
        / feed
        / f"production_day={adoption.production_day}"
        / f"_batch_id={batch_id}"
        / f"_source={quote(adoption.delivery.source, safe='')}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"adopted-{adoption.delivery.fingerprint[:32]}.parquet"
    shutil.copyfile(adoption.delivery.file, target)
    _to_disk(target)
    con.execute(
        f"CALL ducklake_add_data_files('lake', {quote_literal(feed)}, {quote_literal(target)}, "
        "schema => 'raw', hive_partitioning => true, ignore_extra_columns => true)"
    )


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
