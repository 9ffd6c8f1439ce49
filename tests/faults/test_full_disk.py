"""The disk is full while dbt builds, a night learns, promotes and publishes, and answers are written."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.lake.home import Home
from tests.faults.kills import State, Worker, copied, recovery

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.long]
LEVELS = 10
_MARGIN_BYTES = 256 << 20
_PAGE = 4096


@contextmanager
def own_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A disk of its own in memory, whose size `resized` sets; skipped where nobody may mount one."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("only who may mount has a disk of his own")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def resized(disk: Path, size_bytes: int) -> None:
    """Leave a disk this large."""
    subprocess.run(["mount", "-o", f"remount,size={-(-size_bytes // _PAGE) * _PAGE}", str(disk)], check=True)


def used(disk: Path) -> int:
    """Bytes of the disk that are taken, as blocks."""
    now = os.statvfs(disk)
    return (now.f_blocks - now.f_bfree) * now.f_frsize


@contextmanager
def most_used(disk: Path) -> Iterator[list[int]]:
    """What is taken within the block, looked at over and over; journals and spills are gone when a job has ended."""
    seen, over = [used(disk)], threading.Event()

    def look() -> None:
        while not over.wait(0.001):
            seen.append(used(disk))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


@pytest.mark.parametrize(
    ("base", "job"),
    [
        ("taken_in", {"do": "curate", "domains": ["material_inspection", "process"]}),
        ("untrained", {"do": "night"}),
        ("challenged", {"do": "promote", "version": "2"}),
        ("trained", {"do": "score"}),
    ],
    ids=["dbt", "a night", "promotion", "scoring"],
)
def test_a_full_disk_loses_nothing_and_the_next_run_recovers(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    doing: Worker,
    base: str,
    job: dict[str, Any],
    record_property: Callable[[str, Any], None],
) -> None:
    source: Home = request.getfixturevalue(base)
    with own_disk(tmp_path / "disk", 2 * used_by(source.root.parent) + _MARGIN_BYTES) as disk:
        kept = source.root.with_name("kept for the disk")
        copied(source.root, kept)
        try:
            # A registered version knows where its bundle lies, so the home stays where it was, as a link to the disk.
            found = _levels(doing, source, kept, disk, job)
        finally:
            source.root.unlink(missing_ok=True)
            kept.rename(source.root)
    record_property("figures", found)
    assert found["failed"] > 0
    assert (found["odd"], found["lost"], found["doubled"]) == ([], 0, 0)
    assert found["recovered"] == LEVELS


def used_by(folder: Path) -> int:
    told = subprocess.run(["du", "-s", "-B1", str(folder)], capture_output=True, text=True, check=True)
    return int(told.stdout.split()[0])


def _levels(doing: Worker, home: Home, kept: Path, disk: Path, job: dict[str, Any]) -> dict[str, Any]:
    place = disk / "home"
    subprocess.run(["rm", "-rf", str(home.root)], check=True)
    home.root.symlink_to(place)
    large = used_by(kept) * 2 + _MARGIN_BYTES
    copied(kept, place)
    before = used(disk)
    with most_used(disk) as seen:
        doing.run(home, job)
    grown, calm = max(seen) - before, doing.state(home, job)
    failed, left = 0, list[State]()
    for level in range(LEVELS):
        resized(disk, large)
        subprocess.run(["rm", "-rf", str(place)], check=True)
        copied(kept, place)
        resized(disk, used(disk) + grown * level // LEVELS + _PAGE)
        is_failed, _ = doing.run(home, job, may_fail=True)
        failed += is_failed
        resized(disk, large)
        doing.run(home, job)
        left.append(doing.state(home, job))
    return {"levels": LEVELS, "failed": failed, **recovery(left, calm, _same(job)), "grown_bytes": grown}


def _same(job: dict[str, Any]) -> Callable[[State, State], bool]:
    def of_night(calm: State, found: State) -> bool:
        # The night that failed may have registered a version.
        return bool(found["actions"] >= calm["actions"] and found["versions"] <= 2)

    return of_night if job["do"] == "night" else lambda calm, found: found == calm
