"""The second person: an act that one person asked for happens when another of the role says the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from duckdb import DuckDBPyConnection

from pipelines.access.chain import Row
from pipelines.access.identity import Person
from pipelines.access.ledger import begin, canonical, entry_of, newest_of_each, record
from pipelines.access.rules import Rules, in_force, settle
from pipelines.control_plan.access import Access, ActKind
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS


@dataclass(frozen=True)
class Request:
    """An act that one person has asked for.

    Attributes:
        row: of the audit, in which it was asked for.
        until: when it lapses, UTC without zone.
    """

    row: Row
    until: datetime


def grant(
    home: Home, rules: Rules, act: ActKind, subject: str, person: Person, why: str, detail: dict[str, Any]
) -> bool:
    """Write down that a person with the role does something, or asks for it where the site wants two.

    Args:
        home: the instance.
        rules: those that the person was found to have the role by.
        act: what is done.
        subject: to what.
        person: who, as `authorise` found.
        why: the reason.
        detail: what else belongs to the act; a second person confirms only the very same.

    Returns:
        Whether it may be done now; False when it waits for a second person.

    Raises:
        CellworksError: no reason was given, this person has asked for it before, or the lake knows other rules.
    """
    if not why.strip():
        raise CellworksError("an act needs a reason", expected="--why", found="an empty text")
    with writer(home, why=f"{act} of {subject}", area=ACTS) as con:
        begin(home, con)
        settle(home, con, rules, person)
        access = rules.access
        if act not in access.second_person:
            record(home, con, entry_of(act, "granted", subject, person, why, detail))
            return True
        asked = next(iter(waiting(con, act, subject)), None)
        if asked is None or asked.row.entry.detail != canonical(detail):
            record(home, con, entry_of(act, "requested", subject, person, why, detail))
            return False
        first = asked.row.entry
        if first.who == person.name or first.source != person.source:
            raise CellworksError(
                f"{act} of {subject} waits for a second person",
                expected=f"somebody else than {first.who}, named by the same source",
                found=f"{person.name} ({person.source})",
                mend=f"let another person of the role give the same command before {asked.until:%Y-%m-%d %H:%M} UTC",
            )
        record(home, con, entry_of(act, "confirmed", subject, person, why, detail | {"request": asked.row.number}))
        return True


def lapses(access: Access) -> datetime:
    """Until when a request that is written down now waits for its second person (UTC, naive)."""
    return wall_now() + timedelta(hours=access.request_valid_h)


def waiting(con: DuckDBPyConnection, act: str | None = None, subject: str | None = None) -> list[Request]:
    """Requests that nobody has confirmed yet and that have not lapsed, the oldest first.

    One that is further ahead of the clock than it may be old has lapsed too: it was written by a wrong clock. So has
    one from before the rules in force, by which its person may have the role no more.

    Args:
        con: a connection to the lake.
        act: only this kind of act.
        subject: only what is to be done to this.
    """
    known = in_force(con)
    if known is None:
        return []
    now, valid = wall_now(), timedelta(hours=known.rules.access.request_valid_h)
    return [
        Request(row, row.at + valid)
        for row in newest_of_each(con, ("requested", "confirmed"), act=act, subject=subject)
        if row.entry.phase == "requested" and row.number > known.number and abs(now - row.at) <= valid
    ]
