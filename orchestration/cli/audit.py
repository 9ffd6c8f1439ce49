"""`cellworks audit`: who did what, and whether the record of it is as it was written."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestration.cli import console
from orchestration.plant import plant
from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from pipelines.access.chain import Row


def show(limit: int, *, as_json: bool) -> None:
    """Print the newest acts.

    Args:
        limit: how many at most.
        as_json: print all fields as JSON.
    """
    from pipelines.access.ledger import rows_of
    from pipelines.lake.connection import reader

    with reader(plant().home) as con:
        rows = rows_of(con)[-limit:][::-1]
    if as_json:
        console.tell([_document(row) for row in rows], "", as_json=True)
        return
    if not rows:
        console.line("nobody did anything yet that is kept here")
    for row in rows:
        did = row.entry
        role = f", {did.role}" if did.role else ""
        console.line(
            f"{row.number}  {row.at:%Y-%m-%d %H:%M} UTC  {did.act} {did.phase}: {did.subject}, by {did.who}{role}", 0
        )
        console.line(did.why, 4)


def show_waiting(limit: int, *, as_json: bool) -> None:
    """Print the acts that wait for another person, requests before approvals of actions.

    Args:
        limit: how many at most.
        as_json: print all fields as JSON.
    """
    from pipelines.access.second_person import waiting
    from pipelines.actions.decide import endorsed
    from pipelines.lake.connection import reader

    here = plant()
    with reader(here.home) as con:
        requests, approvals = [(each.row, each.until) for each in waiting(con)], endorsed(con, here.site)
    found = [*requests, *approvals][:limit]
    if as_json:
        console.tell([{**_document(row), "until": until} for row, until in found], "", as_json=True)
        return
    if not found:
        console.line("nothing waits for another person")
    for row, until in found:
        did = row.entry
        # The clocks differ: a request lapses by the wall's, a proposed action by the plant's.
        moment = f"{'' if (row, until) in requests else 'the plant is at '}{until:%Y-%m-%d %H:%M} UTC"
        console.line(f"{row.number}  {did.act}: {did.subject}, by {did.who}, {did.role}; waits until {moment}", 0)
        told = {key: value for key, value in json.loads(did.detail).items() if not isinstance(value, dict | list)}
        if told:
            console.line(
                ", ".join(f"{key} {console.DASH if value is None else value}" for key, value in told.items()), 4
            )
        console.line(did.why, 4)


def _document(row: Row) -> dict[str, Any]:
    """A row of the audit as programs read it."""
    detail = json.loads(row.entry.detail)
    return {"number": row.number, **asdict(row.entry), "detail": detail, "at": row.at, "hash": row.hash}


def verify(noted: list[str], *, as_json: bool) -> None:
    """Look through the whole record; ends with exit code 1 when it is not as it was written.

    Args:
        noted: last rows that people noted elsewhere, as `number:hash`.
        as_json: print JSON.

    Raises:
        CellworksError: a noted row has another form.
    """
    from pipelines.access.ledger import verify as look_through

    rows, fault = look_through(plant().home, tuple(_head(text) for text in noted))
    count, head = len(rows), f"{rows[-1].number}:{rows[-1].hash}" if rows else None
    found = {"rows": count, "head": head, "is_whole": fault is None, "fault": None if fault is None else asdict(fault)}
    if fault is None:
        text = f"{count} acts, each as it was written; the last is {head}" if rows else "no act is kept yet"
    else:
        text = f"row {fault.number} of {count} is the first that is not as it was written: {fault.what}"
    console.tell(found, text, as_json=as_json)
    if fault is not None:
        sys.exit(1)


def accept(who: str | None, why: str, *, as_json: bool) -> None:
    """Take the audit on from a lost or contradicted note, or from decisions and moves without an act."""
    from pipelines.access.identity import authorise
    from pipelines.access.ledger import ACCEPT, note_anew, to_accept
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant
    from pipelines.lake.connection import require_lake, writer
    from pipelines.lake.lock import ACTS

    here = plant()
    person = authorise(here.site.access, ACCEPT, who)
    require_lake(here.home)
    accepted = to_accept(here.home)
    if not grant(here.home, rules_of(here.site), ACCEPT, here.site.name, person, why, accepted):
        console.end_waiting(ACCEPT, here.site.name, person.name, here.site.access, as_json=as_json)
    with writer(here.home, why="a new note of the audit's last row", area=ACTS) as con:
        note_anew(here.home, con)
    found = {"accepted_by": person.name, **accepted}
    text = f"{person.name} takes the audit on as it is; the note before was {accepted['note'] or 'gone'}"
    console.tell(found, text, as_json=as_json)


def _head(text: str) -> Any:
    from pipelines.access.chain import Head

    number, _, digest = text.partition(":")
    if not number.isdecimal() or len(digest) != 64:
        raise CellworksError(
            "a noted row has another form",
            expected="number:hash, as `cellworks audit verify` prints the last one",
            found=text,
            mend="copy it whole",
            where="--head",
        )
    return Head(int(number), digest)
