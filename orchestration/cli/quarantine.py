"""`cellworks quarantine`: what did not fit, and another try after plan, feed or file was mended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from orchestration.cli import console
from orchestration.plant import plant

_EXCERPT = 160


def show(feed: str | None, limit: int, *, all_records: bool, as_json: bool) -> None:
    """Print what was set aside, newest first.

    Args:
        feed: only this feed.
        limit: at most so many records.
        all_records: also those that were replayed.
        as_json: print all fields as JSON.
    """
    from pipelines.ingest.quarantine import OPEN, listing

    rows = listing(plant().home, feed=feed, status=None if all_records else OPEN, limit=limit)
    if as_json:
        console.tell([dataclasses.asdict(row) for row in rows], "", as_json=True)
        return
    if not rows:
        console.line("nothing was set aside" if all_records else "nothing is open in quarantine")
    for row in rows:
        place = "the whole file" if row.position is None else f"at {row.position}"
        console.line(f"{row.quarantine_id}  {row.feed}  {row.source} {place}  {row.status}", 0)
        console.line(str(row.reason), 4)
        if row.raw_text:
            console.line(str(row.raw_text)[:_EXCERPT], 4, "dim")


def replay(ids: list[int], who: str | None, why: str, *, as_json: bool) -> None:
    """Try records again and print what came of it.

    Args:
        ids: numbers of the records; none stands for all that are open now.
        who: who does it, where the site names no roles.
        why: the reason, kept in the audit.
        as_json: print JSON.
    """
    from pipelines.access.identity import authorise
    from pipelines.access.rules import rules_of
    from pipelines.access.second_person import grant
    from pipelines.ingest.quarantine import OPEN, listing
    from pipelines.ingest.quarantine import replay as try_again
    from pipelines.lake.connection import require_lake

    here = plant()
    person = authorise(here.site.access, "quarantine_replay", who)
    require_lake(here.home)
    # "All" is what is open now: a second person who gives the same command confirms no other records.
    wanted = ids or [each.quarantine_id for each in listing(here.home, status=OPEN, limit=None)]
    told_ids = _ranges(wanted)
    subject = told_ids if ids else "all that are open"
    if not grant(here.home, rules_of(here.site), "quarantine_replay", subject, person, why, {"ids": told_ids}):
        console.end_waiting("quarantine_replay", subject, person.name, here.site.access, as_json=as_json)
    with console.bars() as shown:
        shown.begin("trying again")
        report = try_again(here.home, here.site, wanted, progress=shown.advance)
    told: dict[str, Any] = {
        "rows_in": report.rows_in,
        "still_open": len(listing(here.home, status=OPEN, limit=None)),
        "affected_days": {feed: list(days) for feed, days in report.affected_days.items()},
    }
    text = f"{told['rows_in']:,} rows taken in, {told['still_open']:,} records still in quarantine"
    if told["rows_in"]:
        text += "\nThe next `cellworks nightly` curates and checks them."
    console.tell(told, text, as_json=as_json)


def _ranges(ids: Iterable[int]) -> str:
    """Numbers as `3-5, 9`: thousands of records in a row are few words."""
    runs: list[list[int]] = []
    for number in sorted(set(ids)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
