"""The second person: an act that one person asked for happens when another of the role says the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from duckdb import DuckDBPyConnection

from pipelines.access.identity import Person
from pipelines.access.ledger import TABLE, begin, canonical, entry_of, record
from pipelines.access.rules import Rules, in_force, settle
from pipelines.control_plan.access import Access, ActKind
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import wall_now
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS


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
        asked = _open_request(con, access, act, subject, detail)
        if asked is None:
            record(home, con, entry_of(act, "requested", subject, person, why, detail))
            return False
        number, first, source = asked
        if first == person.name or source != person.source:
            raise CellworksError(
                f"{act} of {subject} waits for a second person",
                expected=f"somebody else than {first}, named by the same source",
                found=f"{person.name} ({person.source})",
                mend="let another person of the role give the same command",
            )
        record(home, con, entry_of(act, "confirmed", subject, person, why, detail | {"request": number}))
        return True


def lapses(access: Access) -> datetime:
    """Until when a request that is written down now waits for its second person (UTC, naive)."""
    return wall_now() + timedelta(hours=access.request_valid_h)


def _open_request(
    con: DuckDBPyConnection, access: Access, act: str, subject: str, detail: dict[str, Any]
) -> tuple[int, str, str] | None:
    """Number, person and source of the request that nobody has confirmed yet and that has not lapsed.

    One that is further ahead of the clock than it may be old has lapsed too: it was written by a wrong clock. So has
    one from before the rules in force, by which its person may have the role no more.
    """
    now, valid = wall_now(), timedelta(hours=access.request_valid_h)
    newest = con.execute(
        f"SELECT number, phase, who, source, detail, written_at FROM {TABLE} WHERE act = ? AND subject = ? "
        "AND phase IN ('requested', 'confirmed') ORDER BY number DESC LIMIT 1",
        [act, subject],
    ).fetchone()
    if newest is None:
        return None
    number, phase, who, source, asked, written_at = newest
    known = in_force(con)
    if known is not None and number < known.number:
        return None
    if phase != "requested" or asked != canonical(detail) or abs(now - written_at) > valid:
        return None
    return int(number), str(who), str(source)
