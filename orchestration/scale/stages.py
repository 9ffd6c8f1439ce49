"""The stages that are measured, each a process of its own, and one size of plant taken through all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from orchestration.bench import homes
from orchestration.bench.ground import Tell
from orchestration.bench.process import Ran, cellworks, work
from orchestration.environment import default_site
from orchestration.scale.lines import write_site
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

SOLUTIONS: Final = ("finishing/yield_root_cause", "finishing/formation_anomaly", "equipment/machine_life")
"""One of PredictiveModel, of AnomalyDetector and of SurvivalModel; the rows of each grow with the lines."""


@dataclass(frozen=True)
class Size:
    """What is measured.

    Attributes:
        lines: numbers of lines, rising, at least three: an exponent needs as many.
        days: production days, taken in and learnt from at once.
        telemetry_days: of these, how many bring values by the minute; charts need two.
        scale: share of a line's cells that is followed; 1 for figures.
        asked: cells, and lots, that the genealogy is asked for.
        stages: of `STAGES`, in their order.
    """

    lines: tuple[int, ...]
    days: int
    telemetry_days: int
    scale: float
    asked: int
    stages: tuple[str, ...]


@dataclass
class Place:
    """A plant of one size under measurement; `versions` are those that were learnt, by solution."""

    home: Home
    site: Path
    logs: Path
    size: Size
    versions: dict[str, str] = field(default_factory=dict)

    def run(self, name: str, **arguments: Any) -> Ran:
        """A piece of the benchmark on this plant."""
        return work(name, self.logs, self.home, site=self.site, **arguments)


@dataclass(frozen=True)
class Measured:
    """What a stage took with one number of lines.

    Attributes:
        stage: of `STAGES`.
        lines: of the plant.
        seconds: wall seconds of the process, its start included.
        cpu_seconds: of all cores.
        peak_bytes: largest resident memory of the process or of a child that it waited for.
        lake_bytes: files of the lake after it, superseded ones that maintenance would remove included.
        told: what it said that it did.
    """

    stage: str
    lines: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    lake_bytes: int
    told: dict[str, Any]


@dataclass
class Plant:
    """One size of plant: what the twin delivered, what each stage took, and why a stage could not be measured."""

    lines: int
    simulated: dict[str, Any]
    measured: list[Measured] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    lake: dict[str, Any] = field(default_factory=dict)
    home_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _check(place: Place) -> Ran:
    """Every suite on whole tables, as a first night; what follows reads what is published then, by a process apart."""
    ran = place.run("check", repeats=0, tables=[])
    place.run("grown", piece="publish")
    return ran


def _learn(solution: str, place: Place) -> Ran:
    ran = place.run("grown", piece="learn", solution=solution)
    place.versions[solution] = str(ran.told["version"])
    return ran


def _answer(solution: str, place: Place) -> Ran:
    if solution not in place.versions:
        raise CellworksError("there is no version to answer with", expected=f"training of {solution}", found="none")
    return place.run("grown", piece="answer", solution=solution, version=place.versions[solution])


def _trace(place: Place) -> Ran:
    return place.run("grown", piece="trace", asked=place.size.asked)


def _chart(place: Place) -> Ran:
    return place.run("grown", piece="charts", days=place.size.telemetry_days, reference_days=1)


def _slug(solution: str) -> str:
    return solution.split("/")[1]


FOUNDATION: Final[dict[str, Callable[[Place], Ran]]] = {
    "ingestion": lambda place: place.run("ingest"),
    "curation": lambda place: place.run("curate"),
    "checks": _check,
}
"""What all others read."""
LEARNING: Final = tuple((f"training_{_slug(each)}", f"scoring_{_slug(each)}") for each in SOLUTIONS)
"""Training and scoring of each solution."""
STAGES: Final[dict[str, Callable[[Place], Ran]]] = {
    **FOUNDATION,
    **{name: partial(_learn, each) for (name, _), each in zip(LEARNING, SOLUTIONS, strict=True)},
    **{name: partial(_answer, each) for (_, name), each in zip(LEARNING, SOLUTIONS, strict=True)},
    "genealogy": _trace,
    "charts": _chart,
}

FULL = Size(lines=(1, 3, 10), days=14, telemetry_days=2, scale=1.0, asked=10, stages=tuple(STAGES))
SMALL = Size(lines=(1, 2, 3), days=14, telemetry_days=2, scale=0.03, asked=3, stages=tuple(STAGES))


def measure_plant(folder: Path, lines: int, size: Size, tell: Tell) -> Plant:
    """Simulate a plant of so many lines and take it through the stages.

    A stage that fails is told; one that the others read ends the plant.

    Args:
        folder: for the site and the plant's home, which stays.
        lines: how many.
        size: days, scale and stages.
        tell: called with what is being done.
    """
    site = write_site(default_site(), folder / "sites", lines)
    place = Place(homes.fresh(folder / f"lines_{lines}"), site, folder / "logs", size)
    tell(f"{_of(lines)}: simulating {size.days} days, {size.telemetry_days} of them by the minute")
    amount = ("--days", str(size.days), "--scale", str(size.scale), "--telemetry-days", str(size.telemetry_days))
    ran = cellworks(place.logs, place.home, "simulate", *amount, "--json", site=site)
    kept = {name: ran.told[name] for name in ("rows", "files", "cells_started", "seed")}
    found = Plant(lines, {**kept, "seconds": ran.seconds, "peak_bytes": ran.peak_bytes})
    for name in size.stages:
        tell(f"{_of(lines)}: {name}")
        try:
            found.measured.append(_measured(name, lines, STAGES[name](place), place.home))
        except CellworksError as error:
            found.failed[name] = str(error)
            if name in FOUNDATION:
                break
    if "ingestion" not in found.failed:
        found.lake = place.run("grown", piece="lake").told
    found.home_bytes = bytes_of(place.home.root)
    return found


def bytes_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _measured(name: str, lines: int, ran: Ran, home: Home) -> Measured:
    return Measured(name, lines, ran.seconds, ran.cpu_seconds, ran.peak_bytes, bytes_of(home.lake_dir), ran.told)


def _of(lines: int) -> str:
    return f"{lines} line{'' if lines == 1 else 's'}"
