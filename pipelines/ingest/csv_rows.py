"""CSV files: read typed by DuckDB in one statement per header, judged, and bad rows found again in the text."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.ingest.connector import Delivery
from pipelines.ingest.drop_folder import MAX_LINE_BYTES, open_bytes
from pipelines.ingest.part import Part, Rejected, UnreadableError
from pipelines.ingest.rules import WHOLE, Rules, casts
from pipelines.ingest.staging import (
    files_sql,
    first_line,
    is_about_the_machine,
    judge,
    source_sql,
    temporary_name,
)
from pipelines.lake.sql import quote_identifier, quote_literal


@dataclass(frozen=True)
class _BadLine:
    """A line that the reader refused: its number among the file's records (header 1), text and reason."""

    record: int
    text: str
    reason: str


def stage_csv(con: DuckDBPyConnection, rules: Rules, deliveries: list[Delivery]) -> Part:
    """Read CSV files of one header into a temporary table and judge each row.

    Args:
        con: a connection outside a transaction.
        rules: rules of the feed.
        deliveries: files with the same columns in the same order.

    Raises:
        UnreadableError: one file can't be read (only when there is but one).
        duckdb.Error: one of several files can't be read; read them one by one.
    """
    part = Part(rules.feed, deliveries)
    staged, errors, scans = temporary_name("rows"), temporary_name("errors"), temporary_name("scans")
    try:
        con.execute(_staged_sql(rules, deliveries, staged, errors, scans))
    except duckdb.Error as error:
        if len(deliveries) > 1 or is_about_the_machine(error):
            raise
        raise UnreadableError(deliveries[0], f"the file can't be read: {first_line(error)}") from error
    part.tables += [staged, errors, scans]
    rows = _with_source(staged, deliveries)
    judge(con, rules, part, rows)
    refused = _refused(con, rules.feed, errors, scans)
    for source, lines in refused.items():
        part.count(source).bad += len(lines)
    for delivery in deliveries:
        if part.count(delivery.source).bad:
            part.rejected += _find_again(con, rules, rows, delivery, refused.get(delivery.source, {}))
    return part


def _staged_sql(rules: Rules, deliveries: list[Delivery], staged: str, errors: str, scans: str) -> str:
    # Whole numbers are read as DOUBLE, which holds each of them: the reader would round a fraction without a word.
    kinds = {name: rules.schema.get(name, "VARCHAR") for name in deliveries[0].columns}
    kinds = {name: "DOUBLE" if kind == WHOLE else kind for name, kind in kinds.items()}
    types = ", ".join(f"{quote_literal(name)}: {quote_literal(kind)}" for name, kind in kinds.items())
    columns, misfit = casts(rules.schema, kinds, {name: quote_identifier(name) for name in kinds})
    source = "" if len(deliveries) == 1 else f", {source_sql(deliveries)} AS _source"
    packed = "gzip" if deliveries[0].is_packed else "none"  # DuckDB would go by the ending, in small letters only
    return f"""
        CREATE TEMP TABLE {staged} AS
        WITH typed AS (
            SELECT {columns}, {misfit} AS _misfit{source} FROM read_csv({files_sql(deliveries)},
                columns = {{{types}}}, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
                nullstr = '', compression = '{packed}', store_rejects = true, rejects_table = '{errors}',
                rejects_scan = '{scans}', rejects_limit = 0, max_line_size = {2 * MAX_LINE_BYTES})
        )
        SELECT typed.*, (_misfit IS NOT NULL OR {rules.is_bad}) AS _is_bad FROM typed{rules.joins}
        """


def _with_source(staged: str, deliveries: list[Delivery]) -> str:
    """The staged rows with their place in the table and their source.

    A text per row is dear (measured: as much as parsing the row), so the rows of a single file get it as a constant.
    """
    source = f", {quote_literal(deliveries[0].source)} AS _source" if len(deliveries) == 1 else ""
    return f"(SELECT *, rowid AS _row{source} FROM {staged})"


def _refused(con: DuckDBPyConnection, feed: str, errors: str, scans: str) -> dict[str, dict[int, _BadLine]]:
    """Lines that were no rows of these columns, by source and record number."""
    found: dict[str, dict[int, _BadLine]] = {}
    if not con.execute(f"FROM {errors} LIMIT 1").fetchall():
        return found
    for source, record, text, reason in con.execute(
        f"SELECT {quote_literal(feed + '/')} || parse_filename(s.file_path), e.line, "
        f"any_value(e.csv_line), string_agg(e.error_message, '; ' ORDER BY e.column_idx) "
        f"FROM {errors} AS e JOIN {scans} AS s USING (scan_id, file_id) GROUP BY s.file_path, e.line"
    ).fetchall():
        line = _BadLine(int(record), str(text or "").strip("\r\n"), str(reason))
        found.setdefault(str(source), {})[line.record] = line
    return found


def _find_again(
    con: DuckDBPyConnection, rules: Rules, rows: str, delivery: Delivery, refused: dict[int, _BadLine]
) -> list[Rejected]:
    """The bad rows of one file with line number and raw text.

    DuckDB keeps the order of a file's rows, so the n-th row of the table is the n-th record that was not refused.
    """
    bad = {
        int(ordinal): str(reason)
        for ordinal, reason in con.execute(
            f"SELECT _ordinal, coalesce(_misfit, {rules.reason}) "
            f"FROM (SELECT *, row_number() OVER (ORDER BY _row) AS _ordinal FROM {rows} WHERE _source = ?) AS typed"
            f"{rules.joins} WHERE _is_bad",
            [delivery.source],
        ).fetchall()
    }
    count = con.execute(f"SELECT count(*) FROM {rows} WHERE _source = ?", [delivery.source]).fetchall()[0][0]
    header = ",".join(_quoted(name) for name in delivery.columns)
    try:
        located = _locate(delivery, bad, refused, rows=int(count))
    except (csv.Error, OSError, EOFError, zlib.error, ValueError):
        located = None
    if located is None:  # quotes that this reader and DuckDB's understand differently
        return _approximate(con, rows, delivery, bad, refused, header)
    return [Rejected(delivery.source, line, reason, text, "csv", header) for line, reason, text in located]


def _locate(
    delivery: Delivery, bad: dict[int, str], refused: dict[int, _BadLine], rows: int
) -> list[tuple[int, str, str]] | None:
    """Line number, reason and text of the bad records; None when the records don't add up."""
    found = []
    ordinal = 0
    for record, (line, text, is_blank) in enumerate(_records(delivery), 1):
        if record in refused:
            found.append((line, refused[record].reason, text))
        elif record > 1 and not is_blank:
            ordinal += 1
            if ordinal in bad:
                found.append((line, bad[ordinal], text))
    return found if ordinal == rows and len(found) == len(bad) + len(refused) else None


def _records(delivery: Delivery) -> Iterator[tuple[int, str, bool]]:
    """Records of a CSV file: first line's number, raw text, and whether it is a blank line."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        with open_bytes(delivery.file) as file:
            for line in file:
                text = line.decode("utf-8", errors="replace")
                taken.append(text)
                yield text

    reader = csv.reader(lines())
    before = 0
    for fields in reader:
        yield before + 1, "".join(taken).rstrip("\r\n"), not fields
        before = reader.line_num
        taken.clear()


def _approximate(
    con: DuckDBPyConnection,
    rows: str,
    delivery: Delivery,
    bad: dict[int, str],
    refused: dict[int, _BadLine],
    header: str,
) -> list[Rejected]:
    """The bad rows without their own text: the values as they were read, the place left open."""
    source = delivery.source
    found = [Rejected(source, each.record, each.reason, each.text, "csv", header) for each in refused.values()]
    values = con.execute(
        f"SELECT to_json(t) FROM (SELECT * EXCLUDE (_source, _misfit, _is_bad, _row) FROM {rows} "
        "WHERE _source = ? AND _is_bad ORDER BY _row) AS t",
        [source],
    ).fetchall()
    texts = (str(text) for (text,) in values)
    return found + [
        Rejected(source, None, reason, text, "json")
        for (_, reason), text in zip(sorted(bad.items()), texts, strict=True)
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(sign in name for sign in ',"\n\r') else name
