"""`cellworks access`: the rules of who may do what that the lake knows, and how others come into force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestration.cli import console
from orchestration.plant import Plant, plant
from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from pipelines.access.identity import Person


def show(*, as_json: bool) -> None:
    """Print the rules in force, by whom and since when, and what the site's file says otherwise."""
    from pipelines.access.rules import in_force, other, rules_of
    from pipelines.lake.connection import reader

    here = plant()
    written = rules_of(here.site)
    with reader(here.home) as con:
        known = in_force(con)
    found: dict[str, Any] = {
        "file": written.file,
        "in_file": written.detail,
        "in_force": None if known is None else known.rules.detail,
        "adopted": None if known is None else {"by": known.who, "at": known.at, "row": known.number},
        "other": [] if known is None else other(known.rules, written),
    }
    if known is None:
        first = f"the first act brings those of {written.file} into force"
        text = f"the lake knows no rules: {first if written.access.is_guarded else 'all may do all'}"
    else:
        differs = f"differs in {', '.join(found['other'])}" if found["other"] else "says the same"
        text = (
            f"site {known.rules.site}, rules {known.rules.hash[:12]}: adopted by {known.who} on "
            f"{known.at:%Y-%m-%d %H:%M} UTC, row {known.number} of the audit\n{written.file} {differs}"
        )
    console.tell(found, text, as_json=as_json)


def adopt(who: str | None, why: str, *, as_json: bool) -> None:
    """Bring the rules of the site's file into force, if the person is admin by those in force now."""
    from pipelines.access.identity import authorise
    from pipelines.access.rules import ADOPT, in_force, rules_of
    from pipelines.access.second_person import grant
    from pipelines.lake.connection import reader

    here = plant()
    wanted = rules_of(here.site)
    with reader(here.home) as con:
        known = in_force(con)
    if known is None:
        person = _adopt_first(here, who, why)
    elif known.rules.hash == wanted.hash:
        raise CellworksError(
            "these rules are in force already",
            expected="a site.yaml with other rules",
            found=f"those that {known.who} adopted (row {known.number} of the audit)",
            mend="correct `access`, or leave it",
            where=wanted.file,
        )
    else:
        person = authorise(known.rules.access, ADOPT, who)
        detail = wanted.detail | {"before": known.rules.hash}
        # By the rules in force; had others come into force since they were read, they would not be the lake's any more.
        if not grant(here.home, known.rules, ADOPT, wanted.site, person, why, detail):
            console.end_waiting(ADOPT, wanted.site, person.name, known.rules.access, as_json=as_json)
    found = {"adopted_by": person.name, "file": wanted.file, **wanted.detail}
    console.tell(found, f"the rules of {wanted.file} are in force, adopted by {person.name}", as_json=as_json)


def _adopt_first(here: Plant, who: str | None, why: str) -> Person:
    """The first rules of a lake: nobody could be asked but who is admin by them."""
    from pipelines.access.identity import authorise
    from pipelines.access.ledger import begin
    from pipelines.access.rules import ADOPT, rules_of, settle
    from pipelines.lake.connection import writer
    from pipelines.lake.lock import ACTS

    wanted = rules_of(here.site)
    if not wanted.access.is_guarded:
        raise CellworksError(
            "there are no rules to adopt",
            expected="`access` with roles in site.yaml, or a lake that knows some",
            found="neither",
            mend="name roles, see docs/how-to/who-may-do-what.md",
            where=wanted.file,
        )
    if not why.strip():
        raise CellworksError("an act needs a reason", expected="--why", found="an empty text")
    person = authorise(wanted.access, ADOPT, who)
    with writer(here.home, why="the first rules of who may do what", area=ACTS) as con:
        begin(here.home, con)
        settle(here.home, con, wanted, person, why)
    return person
