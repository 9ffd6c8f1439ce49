"""CSV files: written as Parquet by DuckDB, one statement per header, and bad rows found again in the text."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.ingest.connector import Delivery
from pipelines.ingest.drop_folder import MAX_LINE_BYTES, open_bytes
from pipelines.ingest.judging import judge_files
from pipelines.ingest.part import Adoption, Part, Rejected, UnreadableError
from pipelines.ingest.rules import WHOLE, Rules, casts
from pipelines.ingest.staging import (
    Workplace,
    files_sql,
    first_line,
    is_about_the_machine,
    source_sql,
    temporary_name,
)
from pipelines.lake.sql import columns_sql, quote_identifier, quote_literal


@dataclass(frozen=True)
class _BadLine:
    """A line that the reader refused: its number among the file's records (header 1), text and reason."""

    record: int
    text: str
    reason: str


def stage_csv(con: DuckDBPyConnection, rules: Rules, deliveries: list[Delivery], workplace: Workplace) -> Part:
    """Write CSV files of one header as one Parquet file, which is judged and read from then on.

    Text is parsed once and rows are written once: where all are good, the Parquet file joins the lake.

    Args:
        con: a connection outside a transaction.
        rules: rules of the feed.
        deliveries: files with the same columns in the same order.
        workplace: where the Parquet file goes.

    Raises:
        UnreadableError: one file can't be read (only when there is but one).
        duckdb.Error: one of several files can't be read; read them one by one.
    """
    part = Part(rules.feed, deliveries)
    staged = workplace.folder / f"{temporary_name('rows')}.parquet"
    errors, scans = temporary_name("errors"), temporary_name("scans")
    try:
        con.execute(_staged_sql(rules, deliveries, workplace.batch_id, staged, errors, scans))
    except duckdb.Error as error:
        if len(deliveries) > 1 or is_about_the_machine(error):
            raise
        raise UnreadableError(deliveries[0], f"the file can't be read: {first_line(error)}") from error

    def typed(some: Sequence[Delivery]) -> str:
        return _typed_sql(rules, deliveries, some, staged)

    def adoption_of(delivery: Delivery, day: date) -> Adoption | None:
        return Adoption(delivery, staged, day, is_ours=True) if len(deliveries) == 1 else None

    bad = judge_files(con, rules, part, typed, adoption_of, whole=None if rules.is_partitioned else staged)
    refused = _refused(con, rules.feed, errors, scans)
    for source, lines in refused.items():
        part.count(source).bad += len(lines)
    for delivery in deliveries:
        if part.count(delivery.source).bad:
            part.rejected += _find_again(con, typed([delivery]), bad, delivery, refused.get(delivery.source, {}))
    return part


def _staged_sql(rules: Rules, deliveries: list[Delivery], batch_id: int, staged: Path, errors: str, scans: str) -> str:
    # Whole numbers are read as DOUBLE, which holds each of them: the reader would round a fraction without a word.
    kinds = {name: rules.schema.get(name, "VARCHAR") for name in deliveries[0].columns}
    kinds = {name: "DOUBLE" if kind == WHOLE else kind for name, kind in kinds.items()}
    types = ", ".join(f"{quote_literal(name)}: {quote_literal(kind)}" for name, kind in kinds.items())
    columns, misfit = casts(rules.schema, kinds, {name: quote_identifier(name) for name in kinds})
    if not rules.is_partitioned:  # then the folder will tell
        day = f"TRY({rules.day()}) AS production_day"  # of a row that keeps the rules; others have any time, or none
        columns += f", {source_sql(deliveries)} AS _source, CAST({batch_id} AS BIGINT) AS _batch_id, {day}"
    packed = "gzip" if deliveries[0].is_packed else "none"  # DuckDB would go by the ending, in small letters only
    return f"""
        COPY (
            SELECT {columns}, {misfit} AS _misfit, CAST(file_index AS INTEGER) AS _file FROM read_csv(
                {files_sql(deliveries)},
                columns = {{{types}}}, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"',
                nullstr = '', compression = '{packed}', store_rejects = true, rejects_table = '{errors}',
                rejects_scan = '{scans}', rejects_limit = 0, max_line_size = {2 * MAX_LINE_BYTES})
        ) TO {quote_literal(staged)} (FORMAT parquet)
        """


def _typed_sql(rules: Rules, deliveries: Sequence[Delivery], some: Sequence[Delivery], staged: Path) -> str:
    """Query of the staged rows of some of the deliveries."""
    numbers = [number for number, each in enumerate(deliveries) if each in some]
    sources = ", ".join(quote_literal(each.source) for each in deliveries)
    return (
        f"SELECT {columns_sql(rules.schema)}, _file, [{sources}][_file + 1] AS _source, file_row_number AS _position, "
        f"_misfit, false AS _is_rewritten FROM read_parquet({quote_literal(staged)}, file_row_number = true)"
        + (f" WHERE _file IN ({', '.join(map(str, numbers))})" if len(numbers) < len(deliveries) else "")
    )


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
    con: DuckDBPyConnection, rows: str, bad_rows: str, delivery: Delivery, refused: dict[int, _BadLine]
) -> list[Rejected]:
    """The bad rows of one file with line number and raw text.

    DuckDB keeps the order of a file's rows, so the n-th row staged of a file is the n-th record that was not refused.
    """
    bad: dict[int, str] = {}
    if bad_rows:
        bad = {
            int(ordinal): str(reason)
            for ordinal, reason in con.execute(
                f"SELECT _ordinal, reason FROM {bad_rows} JOIN (SELECT _position, "
                f"row_number() OVER (ORDER BY _position) AS _ordinal FROM ({rows})) USING (_position)"
            ).fetchall()
        }
    count = con.execute(f"SELECT count(*) FROM ({rows})").fetchall()[0][0]
    header = ",".join(_quoted(name) for name in delivery.columns)
    try:
        located = _locate(delivery, bad, refused, rows=int(count))
    except (csv.Error, OSError, EOFError, zlib.error, ValueError):
        located = None
    if located is None:  # quotes that this reader and DuckDB's understand differently
        return _approximate(con, bad_rows, delivery, bad, refused, header)
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
    bad_rows: str,
    delivery: Delivery,
    bad: dict[int, str],
    refused: dict[int, _BadLine],
    header: str,
) -> list[Rejected]:
    """The bad rows without their own text: the values as they were read, the place left open."""
    source = delivery.source
    found = [Rejected(source, each.record, each.reason, each.text, "csv", header) for each in refused.values()]
    values = (
        con.execute(
            "SELECT to_json(t) FROM (SELECT * EXCLUDE (_source, _file, _position, _misfit, _is_rewritten, reason) "
            f"FROM {bad_rows} WHERE _source = ? ORDER BY _position) AS t",
            [source],
        ).fetchall()
        if bad
        else []
    )
    texts = (str(text) for (text,) in values)
    return found + [
        Rejected(source, None, reason, text, "json")
        for (_, reason), text in zip(sorted(bad.items()), texts, strict=True)
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(sign in name for sign in ',"\n\r') else name
