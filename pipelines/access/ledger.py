"""The audit of acts, `ops.act`: a table of the lake that is only appended to, and the note of its last row outside."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from duckdb import DuckDBPyConnection

from pipelines.access import anchor
from pipelines.access.chain import Entry, Fault, Head, Row, first_fault, next_row
from pipelines.access.identity import Person
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import create_missing, reader, transaction
from pipelines.lake.home import Home
from pipelines.lake.tables import has_table

TABLE: Final = "lake.ops.act"
_COLUMNS = "number, act, phase, subject, who, role, source, why, detail, written_at, previous_hash, hash"
_DDL = f"""CREATE TABLE IF NOT EXISTS {TABLE} (
    number BIGINT NOT NULL, act VARCHAR NOT NULL, phase VARCHAR NOT NULL, subject VARCHAR NOT NULL,
    who VARCHAR NOT NULL, role VARCHAR NOT NULL, source VARCHAR NOT NULL, why VARCHAR NOT NULL,
    detail VARCHAR NOT NULL, written_at TIMESTAMP NOT NULL, previous_hash VARCHAR NOT NULL, hash VARCHAR NOT NULL)"""


def entry_of(act: str, phase: str, subject: str, person: Person, why: str, detail: dict[str, Any]) -> Entry:
    """The entry of a person's act."""
    return Entry(act, phase, subject, person.name, person.role, person.source, why, canonical(detail))


def canonical(detail: dict[str, Any]) -> str:
    """JSON that is the same text for the same content."""
    return json.dumps(detail, sort_keys=True, separators=(",", ":"))


def ensure_table(con: DuckDBPyConnection) -> None:
    """Create the audit when it is not there."""
    create_missing(con, "CREATE SCHEMA IF NOT EXISTS lake.ops", _DDL)


def append(con: DuckDBPyConnection, entry: Entry) -> Row:
    """Append an entry, in the transaction of what it tells of; `note_head` follows once that is committed.

    Args:
        con: a writing connection; its holder has the area of acts, so that no two rows follow the same one.
        entry: what was done.
    """
    last = con.execute(f"SELECT number, hash FROM {TABLE} ORDER BY number DESC LIMIT 1").fetchone()
    row = next_row(Head(int(last[0]), str(last[1])) if last else None, entry, wall_now())
    values = [row.number, *asdict(entry).values(), row.at, row.previous_hash, row.hash]
    con.execute(f"INSERT INTO {TABLE} ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
    return row


def note_head(home: Home, con: DuckDBPyConnection) -> None:
    """Note the last row outside the lake; a note that the chain contradicts stays as it is, as evidence.

    Args:
        home: the instance.
        con: a connection whose holder has the area of acts, outside a transaction.
    """
    noted = anchor.read(home)
    if noted is not None:
        kept = con.execute(f"SELECT hash FROM {TABLE} WHERE number = ?", [noted.number]).fetchall()
        if kept != [(noted.hash,)]:
            return
    last = con.execute(f"SELECT number, hash FROM {TABLE} ORDER BY number DESC LIMIT 1").fetchone()
    if last is not None:
        anchor.write(home, Head(int(last[0]), str(last[1])))


def record(home: Home, con: DuckDBPyConnection, entry: Entry) -> Row:
    """Append an entry that stands for itself, and note it outside."""
    ensure_table(con)
    with transaction(con):
        row = append(con, entry)
    note_head(home, con)
    return row


def rows_of(con: DuckDBPyConnection) -> list[Row]:
    """The whole audit by number; empty before the first act."""
    if not has_table(con, "ops", "act"):
        return []
    found = con.execute(f"SELECT {_COLUMNS} FROM {TABLE} ORDER BY number, written_at, hash").fetchall()
    return [Row(int(each[0]), Entry(*each[1:9]), *each[9:]) for each in found]


def verify(home: Home, heads: tuple[Head, ...] = ()) -> tuple[list[Row], Fault | None]:
    """Look through the whole audit.

    Args:
        home: the instance.
        heads: last rows as people noted them elsewhere.

    Returns:
        The rows, and the first fault: of the chain, against its note outside the lake, or between the audit
        and the tables whose changes it tells of.
    """
    noted = anchor.read(home)
    with reader(home) as con:
        rows = rows_of(con)
        lost_note = (
            Fault(1, f"there is no note of the last row at {anchor.place(home)}") if rows and not noted else None
        )
        fault = first_fault(rows, (*((noted,) if noted else ()), *heads)) or lost_note or _contradiction(con, rows)
    return rows, fault


def _contradiction(con: DuckDBPyConnection, rows: list[Row]) -> Fault | None:
    """The first act that the table of its decisions or moves tells otherwise."""
    told = {
        "action_audit": "SELECT action_id, seq, event, who, why FROM lake.ops.action_audit",
        "alias_audit": "SELECT move_id, phase, before, after, who, why FROM lake.ops.alias_audit",
    }
    kept: dict[str, set[tuple[Any, ...]]] = {
        name: set(con.execute(query).fetchall()) if has_table(con, "ops", name) else set()
        for name, query in told.items()
    }
    for row in rows:
        detail, who, why = json.loads(row.entry.detail), row.entry.who, row.entry.why
        table = detail.get("table")
        if table == "action_audit":
            asked: tuple[Any, ...] = (detail["action_id"], detail["seq"], detail["event"], who, why)
        elif table == "alias_audit":
            asked = (detail["move_id"], row.entry.phase, detail["before"], detail["after"], who, why)
        else:
            continue
        if asked not in kept[table]:
            return Fault(row.number, f"ops.{table} tells it otherwise, or no more")
    return None
