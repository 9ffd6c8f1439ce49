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
from pipelines.ingest.staging import Workplace, is_about_the_machine
from pipelines.ingest.text_rows import stage_text

# Bounds what one statement keeps in temporary tables.
_GROUP_BYTES = 512 << 20
_GROUP_FILES = 400
# A file of this size is read alone.
_LONG_BYTES = 8 << 20


def read_parts(
    con: DuckDBPyConnection, deliveries: Sequence[Delivery], rules_of: Callable[[str], Rules], workplace: Workplace
) -> Iterator[Part]:
    """Read and judge deliveries, feed by feed.

    Args:
        con: a connection outside a transaction.
        deliveries: readable as far as their headers say.
        rules_of: rules by feed.
        workplace: the batch's.

    Yields:
        Parts; a file that turns out broken is in its part's `unreadable`.

    Raises:
        duckdb.Error: the machine failed (disk, memory), not a file.
    """
    for group in _groups(deliveries):
        yield from _read_group(con, rules_of(group[0].feed), group, workplace)


def _read_group(con: DuckDBPyConnection, rules: Rules, group: list[Delivery], workplace: Workplace) -> Iterator[Part]:
    try:
        yield _stage(con, rules, group, workplace)
    except UnreadableError as problem:
        yield Part(rules.feed, [], unreadable=[(problem.delivery, problem.reason)])
    except duckdb.Error as error:
        if len(group) == 1 or is_about_the_machine(error):
            raise
        for delivery in group:
            yield from _read_group(con, rules, [delivery], workplace)


def _stage(con: DuckDBPyConnection, rules: Rules, group: list[Delivery], workplace: Workplace) -> Part:
    if group[0].format == "csv":
        return stage_csv(con, rules, group, workplace)
    return (stage_parquet if group[0].format == "parquet" else stage_text)(con, rules, group)


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
