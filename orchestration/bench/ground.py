"""What the measurements stand on: one simulated plant, its two nights, a trained copy; each made when first asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestration.bench import homes
from orchestration.bench.process import Ran, cellworks, work
from pipelines.lake.home import Home

Tell = Callable[[str], None]

INGESTION, CURATION, CHECKS, TRAINING = STAGES = ("ingestion", "curation", "checks", "training")
OTHER = "other"
_STAGE_OF = {
    "ingest": INGESTION,
    "staging": CURATION,
    "marts": CURATION,
    "published": CURATION,
    "check": CHECKS,
    "learn": TRAINING,
}


@dataclass(frozen=True)
class Size:
    """How large the plant is and how often things are measured.

    Attributes:
        days: Production days of the first night.
        scale: Size of the plant, 1 is the whole line.
        telemetry_days: Of these days, how many bring values by the minute.
        repeats: Of what is cheap enough to repeat.
        scored_rows: Rows scored without reasons.
        explained_rows: Rows scored with reasons.
    """

    days: int
    scale: float
    telemetry_days: int
    repeats: int
    scored_rows: int
    explained_rows: int


FULL = Size(days=30, scale=1.0, telemetry_days=30, repeats=3, scored_rows=500_000, explained_rows=20_000)
SMALL = Size(days=14, scale=0.05, telemetry_days=1, repeats=1, scored_rows=20_000, explained_rows=2_000)


@dataclass(frozen=True)
class Night:
    """A night as the command line ran it.

    Attributes:
        ran: The whole process.
        stages: Wall seconds of the Dagster run's steps by stage.
        trials: Completed trials in the trial table of each version there is by then, by solution and version.
    """

    ran: Ran
    stages: dict[str, float]
    trials: dict[str, dict[str, int]]


class Ground:
    """Folders and processes that several measurements share.

    Args:
        folder: Everything is kept below it.
        size: See `Size`.
        tell: Called with what is being done.

    Attributes:
        place: What stands before it: which group of how many this is.
    """

    def __init__(self, folder: Path, size: Size, tell: Tell) -> None:
        self.folder = folder
        self.size = size
        self._tell = tell
        self.place = ""
        self.logs = folder / "logs"
        self.plant = Home(folder / "plant")

    def tell(self, what: str) -> None:
        """Say what is being done."""
        self._tell(self.place + what)

    @cached_property
    def simulated(self) -> Ran:
        """The plant's first days, delivered; a copy of the files stays for those who take them in again."""
        self.tell(f"simulating {self.size.days} days, {self.size.telemetry_days} of them by the minute")
        homes.fresh(self.plant.root)
        amount = ("--days", str(self.size.days), "--scale", str(self.size.scale))
        ran = cellworks(self.logs, self.plant, "simulate", *amount, "--telemetry-days", str(self.size.telemetry_days))
        delivered = homes.fresh(self.folder / "delivered")
        homes.deliver(delivered, self.plant.drop_dir)
        homes.take_database(delivered, self.plant.erp_file)
        return ran

    @cached_property
    def delivered(self) -> Home:
        """An instance that holds what the plant delivered in its first days, and nothing else."""
        _ = self.simulated
        return Home(self.folder / "delivered")

    @cached_property
    def taken_in(self) -> Home:
        """An instance with the raw feeds alone."""
        home = homes.with_lake(self.folder / "taken_in", self.delivered)
        homes.deliver(home, self.delivered.drop_dir)
        homes.take_database(home, self.delivered.erp_file)
        self.tell("taking in what was delivered")
        work("ingest", self.logs, home)
        return home

    @cached_property
    def first_night(self) -> Night:
        """The night after the first days."""
        _ = self.simulated
        self.tell("the first night")
        return self._night(self.plant)

    @cached_property
    def comparable_night(self) -> Night:
        """A first night of the solutions that the bare loops fit as well, on an instance of its own."""
        chosen = [each for told in self.training.told.values() for each in ("--only", told["solution"])]
        home = homes.fresh(self.folder / "comparable")
        homes.deliver(home, self.delivered.drop_dir)
        homes.take_database(home, self.delivered.erp_file)
        self.tell(f"a first night of {len(self.training.told)} solutions")
        return self._night(home, "--take-in", *chosen)

    @cached_property
    def second_night(self) -> Night:
        """The night after one more day."""
        _ = self.first_night
        self.tell("simulating one more day")
        cellworks(self.logs, self.plant, "simulate", "--days", "1", "--telemetry-days", "1", *self._scale)
        self.tell("the second night")
        return self._night(self.plant)

    @property
    def _scale(self) -> tuple[str, str]:
        return "--scale", str(self.size.scale)

    def _night(self, home: Home, *options: str) -> Night:
        ran = cellworks(self.logs, home, "nightly", *options, "--json")
        stages = dict.fromkeys((*STAGES, OTHER), 0.0)
        for step, seconds in work("steps", self.logs, home).told.items():
            stages[_STAGE_OF.get(step.split("_", 1)[0], OTHER)] += seconds
        return Night(ran, stages, work("trial_tables", self.logs, home).told)

    @cached_property
    def curated(self) -> Home:
        """An instance as the first night left its lake."""
        _ = self.first_night
        return homes.with_lake(self.folder / "curated", self.plant)

    @cached_property
    def training(self) -> Ran:
        """A full search of every predictive solution on the first night's tables; inputs go to `training_folder`."""
        home = homes.with_lake(self.trained.root, self.curated)
        self.tell("training every predictive solution")
        return work("train", self.logs, home, out=str(self.training_folder))

    @property
    def training_folder(self) -> Path:
        """A folder per solution: `table.parquet` and `work.json`."""
        return self.folder / "training"

    @property
    def trained(self) -> Home:
        """The instance that the training left."""
        return Home(self.folder / "trained")
