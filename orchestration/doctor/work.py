"""Looks at the work: the site and its solutions, and nights or locks that somebody left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from orchestration.doctor.finding import Finding, Installation, error, of, ok, warning
from orchestration.doctor.stores import opened
from orchestration.environment import site_folder
from orchestration.run_lock import under_way
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site

LONGEST: Final = timedelta(hours=6)
"""After it a night is told as one that may hang."""
_BEAT_S = 120.0


def site(it: Installation) -> Iterator[Finding]:
    """The site's files, settings and solutions are valid."""
    from expectations.settings import load_settings
    from orchestration.catalogue import discover
    from orchestration.plant import plant

    try:
        found = it.site or load_site(site_folder())
        yield ok(f"site {found.name}: {len(found.plan.rows)} characteristics, {len(found.feeds)} feeds")
        plant()
        load_settings(found)
        yield ok(f"{len(discover())} solutions are valid")
    except CellworksError as problem:
        yield of(problem)


def locks(it: Installation) -> Iterator[Finding]:
    """Nobody holds a night for long, and no note tells of one who is gone."""
    notes = {"a night": it.home.root / "nightly.json"}
    if it.stores is not None and it.stores.lake_url is None:
        notes["a writer"] = it.home.lock_file.with_suffix(".json")
    left = False
    for who, note in notes.items():
        told = _note(note)
        if not told:
            continue
        left = True
        if not _lives(told.get("pid", "")):
            mend = "nothing is lost: the next night goes on from the last commit; remove the note if it disturbs"
            yield warning(f"{who} (process {told.get('pid')}) died without a word: {note}", mend)
        elif (since := _since(told.get("since", ""))) and datetime.now(UTC) - since > LONGEST:
            mend = f"see what it does; `kill {told.get('pid')}` ends it, and the next one goes on from the last commit"
            yield warning(f"{who} (process {told.get('pid')}) has been at work since {told.get('since')}", mend)
        else:
            yield ok(f"{who} is under way: process {told.get('pid')}, since {told.get('since')}")
    if not left:
        yield ok("no night is under way")


def _note(file: Path) -> dict[str, str]:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # nobody at work, or one who is just starting
        return {}
    return {str(name): str(value) for name, value in read.items()} if isinstance(read, dict) else {}


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _since(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def open_runs(it: Installation) -> Iterator[Finding]:
    """Runs that Dagster believes to be at work have a process."""
    from dagster import DagsterRunStatus, RunsFilter

    from orchestration.run_lock import NIGHTS_OWN_LOCK_TAG
    from orchestration.whose import Ours

    with opened(it) as instance:
        if instance is None:
            return
        states = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
        nights = instance.get_runs(RunsFilter(statuses=states, tags={NIGHTS_OWN_LOCK_TAG: "yes"}))
        left = [run for run in nights if Ours(instance).owns(run)]
        queued = instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))
        beats = [status.last_heartbeat for status in instance.get_daemon_statuses().values()]
    if left and not under_way(it.home):
        names = ", ".join(run.run_id[:8] for run in left)
        yield warning(f"runs that nobody works on say that they do: {names}", "the next night closes them as failed")
    now = datetime.now(UTC).timestamp()
    if queued and not any(beat is not None and now - beat.timestamp < _BEAT_S for beat in beats):
        yield error(f"{queued} runs wait, and no daemon takes them", "start `cellworks ui`")
    elif not left:
        yield ok(f"no run is left behind; {queued} wait")
