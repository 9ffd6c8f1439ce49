"""Acts of a command that change more than one row: in the audit before they begin, and again when they are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orchestration.plant import Plant
from pipelines.control_plan.access import ActKind


@contextmanager
def audited(here: Plant, act: ActKind, subject: str, why: str, who: str | None = None) -> Iterator[dict[str, Any]]:
    """Let an act happen within the block, if the person may.

    One that is cut off, or whose end can't be written down, is in the audit as granted.

    Args:
        here: the plant; it has a lake.
        act: what is done; none that waits for a second person.
        subject: to what.
        why: the reason.
        who: the name the person gives themselves.

    Yields:
        What belongs to the act once it is done, to be filled in.

    Raises:
        CellworksError: there is no lake, or the person may not.
    """
    from pipelines.access.identity import authorise
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant
    from pipelines.lake.connection import require_lake

    person = authorise(here.site.access, act, who)
    require_lake(here.home)
    grant(here.home, rules_of(here.site), act, subject, person, why, {})
    told: dict[str, Any] = {}
    yield told
    record_done(here, act, subject, person, why, told)


def record_done(here: Plant, act: ActKind, subject: str, person: Any, why: str, told: dict[str, Any]) -> None:
    """Write down that an act is done."""
    from pipelines.access.ledger import entry_of, record
    from pipelines.lake.connection import writer
    from pipelines.lake.lock import ACTS

    with writer(here.home, why=f"audit of {act}", area=ACTS) as con:
        record(here.home, con, entry_of(act, "done", subject, person, why, told))
