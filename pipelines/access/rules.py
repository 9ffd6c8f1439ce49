"""Whose rules are in force: the lake keeps them in the audit, and an act under a folder with other rules is refused.

Belongs here: what the lake knows, whether a site's file says the same, and the first time a lake hears of any.
Not here: whether a person may adopt others, which is an act like any other.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from duckdb import DuckDBPyConnection
from pydantic import ValidationError

from pipelines.access.chain import Row, row_hash
from pipelines.access.identity import Person
from pipelines.access.ledger import canonical, entry_of, newest, record
from pipelines.control_plan.access import Access
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import SITE_FILE, Site
from pipelines.lake.home import Home

ADOPT: Final = "access_adopt"
"""The act by which rules come into force."""
PLATFORM: Final = Person("cellworks", "", "")
"""Who adopts the first rules of a lake when a command makes it."""
_SHOWN = 12


@dataclass(frozen=True)
class Rules:
    """What a site's file says of who may do what.

    Attributes:
        site: name of the site.
        access: its rules.
        file: where they are written, for messages.
    """

    site: str
    access: Access
    file: str

    @property
    def hash(self) -> str:
        """SHA-256 of name and rules in their canonical form."""
        return hashlib.sha256(canonical({"site": self.site, "rules": self.access.canonical()}).encode()).hexdigest()

    @property
    def detail(self) -> dict[str, Any]:
        """What the act of adoption holds."""
        return {"site": self.site, "rules": self.access.canonical(), "hash": self.hash}


@dataclass(frozen=True)
class Adopted:
    """Rules that a lake knows, and the act that brought them.

    Attributes:
        rules: the rules; their file is the row of the audit.
        who: the person, or `cellworks`.
        at: when, UTC without zone.
        number: row of the audit.
    """

    rules: Rules
    who: str
    at: datetime
    number: int


def rules_of(site: Site) -> Rules:
    """The rules of a site's file."""
    return Rules(site.name, site.access, str(site.file(SITE_FILE)))


def in_force(con: DuckDBPyConnection) -> Adopted | None:
    """The rules that were adopted last; None before any were, and where they name no roles, so that all may do all.

    Args:
        con: a connection to the lake.

    Raises:
        CellworksError: the act of adoption is not as it was written, or of a later release.
    """
    row = newest(con, ADOPT, ("granted", "confirmed"))
    if row is None:
        return None
    if row.hash != row_hash(row.number, row.entry, row.at, row.previous_hash):
        raise CellworksError(
            "the rules that this lake knows were changed where they are kept",
            expected=f"row {row.number} of the audit as it was written",
            found="another content",
            mend="`cellworks audit verify` tells what else; acts that were changed come back from a backup alone",
        )
    told = json.loads(row.entry.detail)
    try:
        access = Access.model_validate(told["rules"])
    except ValidationError as error:
        raise CellworksError(
            "the rules that this lake knows can't be read",
            expected="rules of this release or an earlier one",
            found=f"row {row.number} of the audit: {error.errors()[0]['msg']}",
            mend="use the release that adopted them, or a later one",
        ) from error
    rules = Rules(str(told["site"]), access, f"row {row.number} of the audit")
    return Adopted(rules, row.entry.who, row.at, row.number) if access.is_guarded else None


def require(con: DuckDBPyConnection, rules: Rules) -> bool:
    """Refuse to act under rules other than those that the lake knows.

    Args:
        con: a connection to the lake.
        rules: those that the act would go by.

    Returns:
        Whether the lake knows any.

    Raises:
        CellworksError: it knows others.
    """
    known = in_force(con)
    if known is None:
        return False
    if known.rules.hash != rules.hash:
        raise CellworksError(
            "who may do what is written otherwise here than this lake knows it",
            expected=f"site {known.rules.site} with the rules {known.rules.hash[:_SHOWN]}, "
            f"adopted by {known.who} on {known.at:%Y-%m-%d %H:%M} UTC (row {known.number} of the audit)",
            found=f"site {rules.site} with the rules {rules.hash[:_SHOWN]}; "
            f"they differ in {', '.join(other(known.rules, rules))}",
            mend="name the site's own folder with CELLWORKS_SITE or --site; if its rules are to change, "
            "an admin by the rules in force gives `cellworks access adopt` (`cellworks access show` tells both)",
            where=rules.file,
        )
    return True


def other(first: Rules, second: Rules) -> list[str]:
    """Names of what two rules tell differently, such as `access.roles.admin`; empty when they are the same."""
    one, two = (_flat(each) for each in (first, second))
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))


def _flat(rules: Rules) -> dict[str, Any]:
    told = rules.access.canonical()
    roles = {f"access.roles.{role}": holders for role, holders in told.pop("roles", {}).items()}
    return {"name": rules.site, **roles, **{f"access.{name}": value for name, value in told.items()}}


def settle(home: Home, con: DuckDBPyConnection, rules: Rules, person: Person = PLATFORM, why: str = "") -> Row | None:
    """See that rules are those that the lake knows; where it knows none and they name roles, they come into force.

    Args:
        home: the instance.
        con: a writing connection whose holder has the area of acts, outside a transaction.
        rules: those of the site's file.
        person: who does what makes them known.
        why: the reason; default that there were none.

    Returns:
        The act of adoption, None when there was nothing to adopt.

    Raises:
        CellworksError: the lake knows others.
    """
    if require(con, rules) or not rules.access.is_guarded:
        return None
    return record(home, con, entry_of(ADOPT, "granted", rules.site, person, why or _first(con), rules.detail))


def _first(con: DuckDBPyConnection) -> str:
    """Why rules come into force that nobody asked for: a new lake, or one of a release that kept none."""
    last = newest(con)
    return "the lake knew no rules" + (f"; its acts up to {last.number} went by the site's file alone" if last else "")
