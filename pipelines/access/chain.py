"""A chain of hashes: each row holds the hash of the one before, so no row can be changed without all that follow it.

Belongs here: what makes a row's hash, and where a chain breaks. Not here: where rows and the anchor are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

START: Final = hashlib.sha256(b"cellworks audit").hexdigest()
"""What the first row holds as the hash before it."""


@dataclass(frozen=True)
class Entry:
    """What somebody did.

    Attributes:
        act: what kind of act, such as `rollback`.
        phase: `requested`, `confirmed`, `granted`, `intent`, `done` or `undone`.
        subject: what it was done to.
        who: the person, or the run that did it by rule.
        role: the person's role then; empty for what the platform carried out.
        source: who vouched for the name; empty for what the platform carried out.
        why: the reason.
        detail: JSON with sorted keys: what else belongs to it.
    """

    act: str
    phase: str
    subject: str
    who: str
    role: str
    source: str
    why: str
    detail: str


@dataclass(frozen=True)
class Row:
    """An entry in the chain.

    Attributes:
        number: 1 for the first, then each the next.
        entry: what was done.
        at: when it was written, UTC without zone.
        previous_hash: hash of the row before.
        hash: hash of this one.
    """

    number: int
    entry: Entry
    at: datetime
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class Head:
    """The last row of a chain, as it was noted outside of it."""

    number: int
    hash: str


BEGINNING: Final = Head(0, START)
"""The note of a chain that has no row yet."""


@dataclass(frozen=True)
class Fault:
    """The first place where a chain is not as it was written.

    Attributes:
        number: the row.
        what: what is wrong with it, one sentence.
    """

    number: int
    what: str


def row_hash(number: int, entry: Entry, at: datetime, previous_hash: str) -> str:
    """SHA-256 over the row's fields as canonical JSON: sorted keys, no blanks, ASCII."""
    fields = asdict(entry) | {"number": number, "at": at.isoformat(timespec="microseconds"), "previous": previous_hash}
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def next_row(last: Head | None, entry: Entry, at: datetime) -> Row:
    """The row that follows `last`; the first when there is none."""
    number, previous = (last.number + 1, last.hash) if last else (1, START)
    return Row(number, entry, at, previous, row_hash(number, entry, at, previous))


def first_fault(rows: Sequence[Row], heads: Sequence[Head] = ()) -> Fault | None:
    """Where a chain breaks first.

    Args:
        rows: the whole chain in the order of its numbers.
        heads: last rows as they were noted elsewhere; they find what a chain can't tell of itself, a lost end and a
            chain that was written anew.

    Returns:
        The first fault, None when each row is as it was written.
    """
    previous, faults = START, []
    for expected, row in enumerate(rows, start=1):
        if (what := _wrong(row, expected, previous)) is not None:
            faults.append(Fault(min(row.number, expected), what))
            break
        previous = row.hash
    for head in heads:
        if head == BEGINNING:
            # The first act may be there before its note, but the second begins only after it.
            if len(rows) > 1:
                faults.append(Fault(2, f"it was noted that there is no row yet, and there are {len(rows)}"))
        elif head.number > len(rows):
            faults.append(Fault(len(rows) + 1, f"the chain ends at {len(rows)}, and had {head.number} rows"))
        elif head.number < 1 or rows[head.number - 1].hash != head.hash:
            faults.append(Fault(max(head.number, 1), "it has another hash than was noted outside the chain"))
    return min(faults, key=lambda fault: fault.number, default=None)


def _wrong(row: Row, expected: int, previous: str) -> str | None:
    if row.number > expected:
        return f"it is not there; the next row is {row.number}"
    if row.number < expected:
        return "there is a second row of this number, or one before the first"
    if row.previous_hash != previous:
        return "it was chained to another row than the one that is before it now"
    if row.hash != row_hash(row.number, row.entry, row.at, row.previous_hash):
        return "its content was changed after it was written"
    return None
