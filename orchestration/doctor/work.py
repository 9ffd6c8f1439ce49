"""Looks at the work: the site and its solutions, and nights or locks that somebody left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from orchestration.doctor.finding import Finding, Installation, error, of, ok, warning
from orchestration.doctor.stores import opened
from orchestration.environment import site_folder
from orchestration.run_lock import holder_on_server, under_way
from orchestration.services.probes import alive
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
    if it.stores is None:
        return
    if it.stores.lake_url is not None:
        holder = holder_on_server(it.stores.lake_url)  # a lock of the server's, which ends with its process
        found = [_at_work("a night", holder, f" on {holder['host']}")] if holder else []
    else:
        notes = {"a night": it.home.root / "nightly.json", "a writer": it.home.lock_file.with_suffix(".json")}
        found = [_noted(who, told, note) for who, note in notes.items() if (told := _note(note))]
    yield from found or [ok("no night is under way")]


def _noted(who: str, told: dict[str, str], note: Path) -> Finding:
    pid = told.get("pid", "")
    if pid.isdecimal() and alive(int(pid)):
        return _at_work(who, told, "")
    mend = "nothing is lost: the next night goes on from the last commit; remove the note if it disturbs"
    return warning(f"{who} (process {pid}) died without a word: {note}", mend)


def _at_work(who: str, told: dict[str, str], where: str) -> Finding:
    pid, began = told.get("pid"), told.get("since", "")
    since = _since(began)
    if since is None or datetime.now(UTC) - since <= LONGEST:
        return ok(f"{who} is under way: process {pid}{where}, since {began}")
    mend = f"see what it does; `kill {pid}`{where} ends it, and the next one goes on from the last commit"
    return warning(f"{who} (process {pid}{where}) has been at work since {began}", mend)


def _note(file: Path) -> dict[str, str]:
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # nobody at work, or one who is just starting
        return {}
    return {str(name): str(value) for name, value in read.items()} if isinstance(read, dict) else {}


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
        yield error(
            f"{queued} runs wait, and no daemon takes them",
            "start it: `cellworks services up`, or `cellworks ui` where the stores are files",
        )
    elif not left:
        yield ok(f"no run is left behind; {queued} wait")
