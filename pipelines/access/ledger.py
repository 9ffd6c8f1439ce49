"""The audit of acts, `ops.act`: a table of the lake that is only appended to, and the note of its last row outside."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from duckdb import DuckDBPyConnection

from pipelines.access import anchor
from pipelines.access.beside import Told, compare, former
from pipelines.access.chain import BEGINNING, Entry, Fault, Head, Row, first_fault, next_row
from pipelines.access.identity import Person
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import create_missing, reader, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS
from pipelines.lake.tables import has_table

_LOG = logging.getLogger("cellworks.audit")
TABLE: Final = "lake.ops.act"
ACCEPT: Final = "audit_accept"
"""The act of an admin who has looked into a fault of note or tables, and takes the audit on from there."""
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
    """Create the audit when it is not there; whoever knows the home calls `begin`."""
    create_missing(con, "CREATE SCHEMA IF NOT EXISTS lake.ops", _DDL)


def begin(home: Home, con: DuckDBPyConnection) -> None:
    """Create the audit when it is not there, and before its first row a note that it has none.

    Were the note written after the first row alone, a process that is killed between both would leave an audit without
    a note, as somebody does who takes it away. What such a process did not note is noted before the second row, so that
    a note of no row beside several is nobody's but a forger's.

    Args:
        home: the instance.
        con: a connection whose holder has the area of acts, outside a transaction.

    Raises:
        CellworksError: the note can't be written, so no act may begin.
    """
    ensure_table(con)
    last = _last(con)
    if last is not None and last.number > 1:
        return
    try:
        if last is None:
            if anchor.read(home) is None:
                anchor.write(home, BEGINNING)
        else:
            with suppress(CellworksError):  # a damaged note is evidence, and keeps nobody from acting
                if anchor.read(home) == BEGINNING:
                    anchor.write(home, last)
    except OSError as error:
        raise CellworksError(
            "the audit can't begin: its note outside the lake can't be written",
            expected="a place that can be written",
            found=str(error),
            mend="make room or mend its rights, then give the same command; nothing was done",
            where=anchor.place(home),
        ) from error


def append(con: DuckDBPyConnection, entry: Entry) -> Row:
    """Append an entry, in the transaction of what it tells of; `note_head` follows once that is committed.

    Args:
        con: a writing connection; its holder has the area of acts, so that no two rows follow the same one.
        entry: what was done.
    """
    row = next_row(_last(con), entry, wall_now())
    values = [row.number, *asdict(entry).values(), row.at, row.previous_hash, row.hash]
    con.execute(f"INSERT INTO {TABLE} ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
    return row


def note_head(home: Home, con: DuckDBPyConnection) -> None:
    """Note the last row outside the lake.

    A note that the chain contradicts stays as it is, and one that is gone stays gone: both are evidence, and only an
    admin's act ends it. A note that can't be read or written is told to the log, since what was done is done; the next
    act notes again.

    Args:
        home: the instance.
        con: a connection whose holder has the area of acts, outside a transaction.
    """
    try:
        noted, last = anchor.read(home), _last(con)
        if last is None or (noted is None and last.number > 1):
            return
        if noted == BEGINNING:
            if last.number > 1:
                return
        elif noted is not None:
            kept = con.execute(f"SELECT hash FROM {TABLE} WHERE number = ?", [noted.number]).fetchall()
            if kept != [(noted.hash,)]:
                return
        anchor.write(home, last)
    except (OSError, CellworksError) as error:
        _LOG.error("the audit's last row was not noted at %s; the next act tries again: %s", anchor.place(home), error)


def note_anew(home: Home, con: DuckDBPyConnection) -> None:
    """Note the last row whatever was noted before, once an admin's act tells what that was.

    Raises:
        OSError: it can't be written.
    """
    if (last := _last(con)) is not None:
        anchor.write(home, last)


def _last(con: DuckDBPyConnection) -> Head | None:
    found = con.execute(f"SELECT number, hash FROM {TABLE} ORDER BY number DESC LIMIT 1").fetchone()
    return Head(int(found[0]), str(found[1])) if found else None


def record(home: Home, con: DuckDBPyConnection, entry: Entry) -> Row:
    """Append an entry that stands for itself, and note it outside."""
    begin(home, con)
    with transaction(con):
        row = append(con, entry)
    note_head(home, con)
    return row


def newest_of_each(
    con: DuckDBPyConnection, phases: tuple[str, ...], *, act: str | None = None, subject: str | None = None
) -> list[Row]:
    """The newest row of each act on each subject in one of some phases, by number.

    Args:
        con: a connection to the lake.
        phases: the phases.
        act: only this kind of act.
        subject: only what was done to this.
    """
    if not has_table(con, "ops", "act"):
        return []
    found = con.execute(
        f"SELECT {_COLUMNS} FROM {TABLE} WHERE act = coalesce(?, act) AND subject = coalesce(?, subject) "
        "AND list_contains(?, phase) QUALIFY row_number() OVER (PARTITION BY act, subject ORDER BY number DESC) = 1 "
        "ORDER BY number",
        [act, subject, list(phases)],
    ).fetchall()
    return [_row(each) for each in found]


def newest(
    con: DuckDBPyConnection, act: str | None = None, phases: tuple[str, ...] = (), about: str = ""
) -> Row | None:
    """The newest row, or the newest of an act in one of some phases; None when there is none.

    Args:
        con: a connection to the lake.
        act: kind of act; None for any.
        phases: its phases, when there is an act.
        about: a text that its detail holds, when there is an act.
    """
    if not has_table(con, "ops", "act"):
        return None
    # The act stands alone in its condition, so that files without it are left out by what the catalogue tells of them.
    wanted, values = "", []
    if act is not None:
        wanted = "WHERE act = ? AND list_contains(?, phase) AND contains(detail, ?)"
        values = [act, list(phases), about]
    found = con.execute(f"SELECT {_COLUMNS} FROM {TABLE} {wanted} ORDER BY number DESC LIMIT 1", values).fetchone()
    return _row(found) if found else None


def record_job(home: Home, act: str, subject: str, job: str, why: str, detail: dict[str, Any]) -> Row:
    """Append what a job did that a person's command does as well; nobody vouches for who began it.

    Args:
        home: the instance.
        act: what was done.
        subject: to what.
        job: of Dagster.
        why: what began it.
        detail: what belongs to the act.
    """
    with writer(home, why=f"audit of {act}", area=ACTS) as con:
        ensure_table(con)
        return record(home, con, Entry(act, "done", subject, f"job {job}", "", "", why, canonical(detail)))


def rows_of(con: DuckDBPyConnection) -> list[Row]:
    """The whole audit by number; empty before the first act."""
    if not has_table(con, "ops", "act"):
        return []
    found = con.execute(f"SELECT {_COLUMNS} FROM {TABLE} ORDER BY number, written_at, hash").fetchall()
    return [_row(each) for each in found]


def _row(found: tuple[Any, ...]) -> Row:
    return Row(int(found[0]), Entry(*found[1:9]), *found[9:])


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
        fault = first_fault(rows, (*((noted,) if noted else ()), *heads)) or lost_note
        if fault is not None:
            return rows, fault
        contradiction, untold = compare(con, rows)
        return rows, contradiction or _unaccepted(rows, untold)


def to_accept(home: Home) -> dict[str, Any]:
    """What an admin accepts: the note as it is, and what the tables tell that no act does.

    Raises:
        CellworksError: nothing is wrong, or acts themselves were changed, which no further act makes whole.
    """
    rows, fault = verify(home)
    with reader(home) as con:
        inside, untold = first_fault(rows), list[Told]()
        if inside is None:  # a changed act may hold any text
            inside, untold = compare(con, rows)
    if fault is None or inside is not None:
        raise CellworksError(
            "there is nothing here that an admin could accept",
            expected="a note outside the lake that is gone or another, or decisions and moves without an act",
            found="an audit that is whole" if inside is None else f"row {inside.number}: {inside.what}",
            mend="`cellworks audit verify` tells what is wrong; acts that were changed come back from a backup alone",
        )
    noted = anchor.read(home)
    return {"note": f"{noted.number}:{noted.hash}" if noted else None, "untold": _digest(untold) if untold else None}


def _unaccepted(rows: list[Row], untold: list[Told]) -> Fault | None:
    """The first decision or move that no act tells of; none where an admin has accepted just these."""
    accepted = {
        json.loads(row.entry.detail)["untold"]
        for row in rows
        if row.entry.act == ACCEPT and row.entry.phase in ("granted", "confirmed")
    }
    if not untold or accepted & {_digest(untold), _digest(former(untold))}:
        return None
    table, key, *_, who, _why = untold[0]
    if table == "action":
        return Fault(len(rows) + 1, f"ops.action has {str(key)[:8]} more than once")
    return Fault(len(rows) + 1, f"ops.{table} tells of {str(key)[:8]} by {who}, and no act does")


def _digest(untold: list[Told]) -> str:
    return hashlib.sha256(json.dumps(untold, separators=(",", ":")).encode("ascii")).hexdigest()
