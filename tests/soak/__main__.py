"""`make soak`: days of a small plant on servers, sensors and schedules running; does anything grow?

python -m tests.soak FILE [--days 60] [--day-s 60] [--night-every 10] [--tidy-every 3] [--history 14] [--scale 0.05]

Days are asked for at a steady pace, whether the one before is digested or not. Slopes are taken over the days after the
first third, in which caches fill and nothing is old enough to go; `N passed, N failed` is the last line.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from orchestration.environment import prepare_process
from orchestration.services import leftovers
from orchestration.services.layout import mark
from pipelines.lake.home import Home
from tests.soak.installation import ROOM, SITE, SOLUTIONS, Pace, install
from tests.soak.measure import Servers, names, sample
from tests.soak.plant import Ledger, RunningPlant, all_came, settle, went_well
from tests.soak.slopes import FEWEST, Slope, slopes

OF_THE_REGISTRY = ("registry_beyond_versions_mb", "postgres_mlflow_mb")
"""Figures that rise by the nights until the registry holds what is kept, and are judged from then on."""
JUDGED = (
    f"rss_code-{SITE}_mb",
    "rss_daemon_mb",
    "rss_webserver_mb",
    "tick_s",
    "lake_unneeded_mb",
    "snapshots",
    "catalogue_kb_per_file",
    "postgres_runs_mb",
    "home_mb",
    "temporary_mb",
    "temporary_entries",
    *OF_THE_REGISTRY,
)
"""Figures that must not grow; the others are only told."""
_SETTLE_S = 1800.0
_NIGHTS_BEFORE = 3
"""Each gives three versions; with that of the first night there is one more than has room beside those in use."""
_RUNS_CACHED = 128
"""For so many of the runs that ended, a code server keeps what SQLAlchemy caches; tests/orchestration/test_looks.py."""


def soak(pace: Pace, history: int) -> dict[str, Any]:
    """Live through the days; everything that was seen."""
    folder = Path(tempfile.mkdtemp(prefix="cellworks-soak-"))
    folder.chmod(0o711)  # PostgreSQL is another user where we are root
    home = Home(folder / "home")
    try:
        site = install(folder / "project", pace)
        running = RunningPlant(folder / "project", site, home, folder / "temporary")
        running.command("simulate", "--days", str(history), "--seed", "101", "--scale", str(pace.scale))
        found = _live(running, pace)
        found["left_behind"] = [" ".join(each.cmdline())[:200] for each in leftovers.of(mark(home))]
        return found
    finally:
        leftovers.end(mark(home))
        shutil.rmtree(folder, ignore_errors=True)


def _live(running: RunningPlant, pace: Pace) -> dict[str, Any]:
    samples, launched = [], []
    with running.up() as instance:
        servers = Servers(running.home)
        running.stop_schedules()
        first = running.command("nightly")
        if pace.days + 1 - pace.days // 3 >= FEWEST:  # with fewer samples no slope is judged: nothing need be full
            _fill(running, instance, _RUNS_CACHED - pace.days // 3)  # each day not judged brings a run at least
        running.start_schedules()
        ledger = Ledger(instance)
        begun = time.time()
        for day in range(1, pace.days + 1):
            launched.append(running.launch("plant_day"))
            _tell(f"day {day} of {pace.days}")
            time.sleep(max(0.0, begun + day * pace.day_s - time.time()))
            ledger.note(instance)
            since = samples[-1]["at"] if samples else begun
            samples.append(sample(running.home, running.temporary, instance, servers, day, since))
        running.stop_schedules()
        settled = settle(instance, _SETTLE_S, running.all_came)
        ledger.note(instance)
        samples.append(sample(running.home, running.temporary, instance, servers, pace.days + 1, samples[-1]["at"]))
        return {
            "seconds": round(time.time() - begun, 1),
            "samples": samples,
            "runs": ledger.counts(),
            "days_delivered": sum(ledger.ended.get(run_id) == ("plant_day", "SUCCESS") for run_id in launched),
            "trained": sorted(each["solution"] for each in first["models"]),
            "rows": running.rows(),
            "settled": settled,
            "ended": servers.ended(),
            "more_processes": servers.more(),
        }


def _fill(running: RunningPlant, instance: DagsterInstance, runs: int) -> None:
    """Nights and short runs before the first day: registry and caches then hold what they keep, as after months.

    Nothing goes by the clock meanwhile, so that a slow machine does not take a third longer for it.
    """
    ledger = Ledger(instance)

    def require(run_id: str) -> None:
        if not went_well(instance, run_id, _SETTLE_S):
            raise RuntimeError(f"run {run_id} before the first day failed, or came to no end")
        ledger.note(instance)

    for night in range(1, _NIGHTS_BEFORE + 1):
        _tell(f"night {night} of {_NIGHTS_BEFORE} before the first day")
        require(running.launch("plant_day"))
        require(running.launch("nightly"))
    # One waits while another is at work, since the daemon looks at its queue only every few seconds.
    at_work = running.launch("maintenance")
    while (ended := len(ledger.ended)) < runs:
        _tell(f"{ended} of {runs} runs before the first day")
        waiting = running.launch("maintenance")
        require(at_work)
        at_work = waiting
    require(at_work)


def grown(samples: Sequence[dict[str, float]], pace: Pace) -> dict[str, Slope | None]:
    """The slope of every figure that a sample has, over its days; the judged ones first."""
    settled = [each for each in samples if each["day"] > pace.days / 3]
    full = min((each["day"] for each in samples if each["versions"] >= ROOM), default=math.inf)
    figures = [*JUDGED, *(name for name in names(samples) if name not in JUDGED)]
    of_registry = slopes([each for each in settled if each["day"] > full], OF_THE_REGISTRY, pace.tidy_every)
    return slopes(settled, figures, pace.tidy_every) | of_registry


def judge(found: dict[str, Any], pace: Pace) -> dict[str, bool | None]:
    """What held; None for what so few days can't tell."""
    runs = found["runs"]
    failed = {job: ends for job, ends in runs.items() if set(ends) - {"SUCCESS"}}
    whole = {
        "every day was delivered": found["days_delivered"] == pace.days,
        "every row that was delivered was taken in": all_came(found["rows"]),
        "no run failed": not failed,
        "all three solutions were trained": found["trained"] == sorted(SOLUTIONS),
        "nights and maintenance came by their schedules": all(name in runs for name in ("nightly", "maintenance")),
        "no more versions than are kept and two trainings bring": _most(found, "versions") <= ROOM + 2 * len(SOLUTIONS),
        "everything that was asked for was done": found["settled"],
        "no server was restarted": not found["ended"],
        "no process was left by a run": not found["more_processes"],
        "no process was left by the servers": not found["left_behind"],
    }
    settled = sum(each["day"] > pace.days / 3 for each in found["samples"])
    flat = {f"{name} does not grow": _does_not_grow(found["slopes"][name], settled) for name in JUDGED}
    return {**whole, **flat}


def _most(found: dict[str, Any], name: str) -> float:
    return max((each[name] for each in found["samples"] if name in each), default=math.inf)


def _does_not_grow(slope: dict[str, float] | None, days: int) -> bool | None:
    if slope is None:
        return False if days >= FEWEST else None  # a figure that never came says nothing of what it stands for
    return not Slope(**slope).grows


def main(file: Path, pace: Pace, history: int) -> int:
    """Soak, judge, write and tell; 1 when anything failed."""
    prepare_process()
    found = soak(pace, history)
    found["slopes"] = {
        name: None if each is None else asdict(each) for name, each in grown(found["samples"], pace).items()
    }
    checks = judge(found, pace)
    content = {"pace": asdict(pace), "history": history, "checks": checks, **found}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    for line in _told(checks, found["slopes"]):
        print(line)
    counts = {value: list(checks.values()).count(value) for value in (True, False, None)}
    print(f"figures in {file}; {counts[None]} not judged, for which {FEWEST} days after the first third are needed")
    print(f"{counts[True]} passed, {counts[False]} failed")
    return int(counts[False] > 0)


def _told(checks: dict[str, bool | None], figures: dict[str, dict[str, float] | None]) -> Iterator[str]:
    words = {True: "passed", False: "FAILED", None: "not judged"}
    yield from (f"{words[held]:10}  {what}" for what, held in checks.items())
    for name, each in figures.items():
        if each is not None:
            per_day, low, high = (f"{each[part]:+.4g}" for part in ("per_day", "low", "high"))
            yield f"{name}: {per_day} [{low}, {high}] a day, at {each['level']:.4g}"


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--day-s", type=float, default=60.0)
    parser.add_argument("--night-every", type=int, default=10)
    parser.add_argument("--tidy-every", type=int, default=3)
    parser.add_argument("--history", type=int, default=14)
    parser.add_argument("--scale", type=float, default=0.05)
    return parser.parse_args()


if __name__ == "__main__":
    asked = _asked()
    wanted = Pace(asked.days, asked.day_s, asked.night_every, asked.tidy_every, asked.scale)
    sys.exit(main(asked.file, wanted, asked.history))
