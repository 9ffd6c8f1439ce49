"""Whole nights: beside the sum of bare parts, the second beside the first, their memory and the demo's time."""

from __future__ import annotations

import sys

from orchestration.bench import data, learning
from orchestration.bench.ground import CHECKS, CURATION, INGESTION, TRAINING, Ground, Night
from orchestration.bench.process import cellworks, run, work
from orchestration.bench.rows import Row, Target, samples
from orchestration.catalogue import discover
from pipelines.lake.home import Home

_GIB = 2**30
_EMPTY = "import dagster; dagster.Definitions().resolve_all_asset_specs()"


def night(ground: Ground) -> list[Row]:
    """A first night beside bare ingestion, dbt, checks and fits, each a process of its own; the whole one apart.

    The first row's night is of the solutions that the bare loops fit, so that both sides do the same work.
    """
    ours, whole = ground.comparable_night, ground.first_night
    fits = learning.bare_training(ground)
    parts = {
        "ingestion": data.bare_ingestion(ground).seconds,
        "dbt": data.bare_curation(ground).seconds,
        f"{len(fits)} x fits": sum(each.seconds for each in fits.values()),
    }
    checks = data.bare_expectations(ground)
    if checks is not None:
        # A night asks once; the script's further repeats are for the row that compares warm runs.
        parts["checks of the large tables"] = checks.seconds - sum(checks.told["seconds"])
    names = ", ".join(told["solution"] for told in ground.training.told.values())
    note = (
        f"`cellworks nightly --take-in --only ...` of the predictive solutions that have labels: {names}; "
        f"ours by stage: {_told(ours.stages)}; bare: {_told(parts)}; bare scores nothing and has no gates"
    )
    bare = samples(sum(parts.values()))
    return [
        Row("night", samples(ours.ran.seconds), "s", bare, Target("ratio", "<=", 1.5), note),
        _whole_night("night_of_all", whole, 15.0),
    ]


def _whole_night(name: str, whole: Night, limit_min: float) -> Row:
    """Minutes of a night of every solution; nothing bare does the work of all families."""
    note = f"all {len(discover())} solutions of every family; by stage: {_told(whole.stages)}"
    return Row(name, samples(whole.ran.seconds / 60), "min", target=Target("ours", "<=", limit_min), note=note)


def _told(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items())


def second_night(ground: Ground) -> list[Row]:
    """Each stage of the second night beside the same stage of the first; and that it really learnt."""
    first, second = ground.first_night, ground.second_night
    rows = [
        Row(
            f"second_night_{stage}",
            samples(second.stages[stage]),
            "s",
            samples(first.stages[stage]),
            Target("ratio", "<=", limit),
            "bare: the first night, of the same solutions",
        )
        for stage, limit in ((INGESTION, 0.2), (CURATION, 0.2), (CHECKS, 0.2), (TRAINING, 1.1))
    ]
    fresh = {
        solution: {version: done for version, done in versions.items() if version not in first.trials.get(solution, {})}
        for solution, versions in second.trials.items()
    }
    retrained = sum(any(done.values()) for done in fresh.values())
    told = [f"{name} version {number}: {done} trials" for name, new in fresh.items() for number, done in new.items()]
    note = f"new versions whose trial table holds completed trials: {'; '.join(told) or 'none'}"
    limit = Target("ratio", ">=", 1.0)
    row = Row("second_night_retrained", samples(retrained), "solutions", samples(len(first.trials)), limit, note)
    return [_whole_night("second_night_of_all", second, 6.0), *rows, row]


def demo(ground: Ground) -> list[Row]:
    """Time and memory of the first days and night: what `make demo` does once it is set up."""
    simulated, first = ground.simulated, ground.first_night
    size = ground.size
    what = f"{size.days} days, {size.telemetry_days} by the minute, scale {size.scale:g}"
    peak = max(simulated.peak_bytes, first.ran.peak_bytes) / _GIB
    note = f"simulation {simulated.peak_bytes / _GIB:.2f} GiB, night {first.ran.peak_bytes / _GIB:.2f} GiB; {what}"
    return [
        Row(
            "demo",
            samples((simulated.seconds + first.ran.seconds) / 60),
            "min",
            target=Target("ours", "<=", 8.0),
            note=f"simulation {simulated.seconds:.0f} s, first night {first.ran.seconds:.0f} s; {what}",
        ),
        Row("peak_memory", samples(peak), "GiB", target=Target("ours", "<=", 4.0), note=note),
    ]


def definitions(ground: Ground) -> list[Row]:
    """Process time of loading the code location with a parsed manifest; bare: Dagster with nothing in it."""
    home = Home(ground.folder / "definitions")
    work("definitions", ground.logs, home)  # parses the dbt project, once
    ours, alone = [], []
    for _ in range(ground.size.repeats):
        ground.tell("loading definitions")
        ours.append(work("definitions", ground.logs, home).seconds)
        alone.append(run([sys.executable, "-c", _EMPTY], ground.logs).seconds)
    note = "whole process; bare: Dagster alone, nothing defined"
    return [Row("definitions", samples(ours), "s", samples(alone), Target("ours", "<=", 6.0), note)]


def twin(ground: Ground) -> list[Row]:
    """Seconds of a production day of the whole line on one core, control points by the minute, start-up shared."""
    days = max(2, ground.size.repeats)
    home = Home(ground.folder / "twin")
    ground.tell(f"simulating {days} days on one core")
    amount = ("--days", str(days), "--telemetry-days", str(days), "--scale", str(ground.size.scale))
    ran = cellworks(ground.logs, home, "simulate", *amount, cores=1)
    note = f"{days} days in one process, its start included, scale {ground.size.scale:g}, one core"
    return [Row("twin_day", samples(ran.seconds / days), "s", target=Target("ours", "<=", 3.0), note=note)]
