"""Deliveries to parts: as few statements as the files' columns allow, one by one where a group can't be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.ingest.connector import Delivery
from pipelines.ingest.csv_rows import stage_csv
from pipelines.ingest.parquet_rows import stage_parquet
from pipelines.ingest.part import Part, UnreadableError
from pipelines.ingest.rules import Rules
from pipelines.ingest.staging import is_about_the_machine
from pipelines.ingest.text_rows import stage_text

# Bounds what one statement keeps in temporary tables.
_GROUP_BYTES = 512 << 20
_GROUP_FILES = 400
# A file of this size is read alone.
_LONG_BYTES = 8 << 20
_Stage = Callable[[DuckDBPyConnection, Rules, list[Delivery]], Part]
_STAGES: dict[str, _Stage] = {"csv": stage_csv, "parquet": stage_parquet, "jsonl": stage_text, "rows": stage_text}


def read_parts(
    con: DuckDBPyConnection, deliveries: Sequence[Delivery], rules_of: Callable[[str], Rules]
) -> Iterator[Part]:
    """Read and judge deliveries, feed by feed.

    Args:
        con: a connection outside a transaction.
        deliveries: readable as far as their headers say.
        rules_of: rules by feed.

    Yields:
        Parts; a file that turns out broken is in its part's `unreadable`.

    Raises:
        duckdb.Error: the machine failed (disk, memory), not a file.
    """
    for group in _groups(deliveries):
        yield from _read_group(con, rules_of(group[0].feed), group)


def _read_group(con: DuckDBPyConnection, rules: Rules, group: list[Delivery]) -> Iterator[Part]:
    stage = _STAGES[group[0].format]
    try:
        yield stage(con, rules, group)
    except UnreadableError as problem:
        yield Part(rules.feed, [], unreadable=[(problem.delivery, problem.reason)])
    except duckdb.Error as error:
        if len(group) == 1 or is_about_the_machine(error):
            raise
        for delivery in group:
            yield from _read_group(con, rules, [delivery])


def _groups(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """Deliveries that one statement can read: same feed, format and columns, not too much at once."""
    alike: dict[tuple[object, ...], list[Delivery]] = {}
    for delivery in deliveries:
        kind = (delivery.feed, delivery.format, delivery.is_packed, delivery.columns, delivery.types)
        alike.setdefault(kind, []).append(delivery)
    for members in alike.values():
        group: list[Delivery] = []
        size = 0
        for delivery in members:
            is_long = delivery.size_bytes > _LONG_BYTES and delivery.format == "csv"
            if is_long:
                yield [delivery]
                continue
            if group and (size + delivery.size_bytes > _GROUP_BYTES or len(group) >= _GROUP_FILES):
                yield group
                group, size = [], 0
            group.append(delivery)
            size += delivery.size_bytes
        if group:
            yield group
