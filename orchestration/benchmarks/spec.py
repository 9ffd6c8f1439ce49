"""What a benchmark is, as its YAML says it: files, table, family, solution, protocols, and what is to be reached."""

from __future__ import annotations

import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, field_validator, model_validator

from models.families import FAMILIES, family_named

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestration.benchmarks.ground import Ground
    from orchestration.benchmarks.outcome import Outcome

FOLDER = Path(__file__).parent / "tables"
KINDS = f"{__package__}.protocols"
Family = Literal["PredictiveModel", "SurvivalModel", "ProcessMonitor", "AnomalyDetector"]


class Part(BaseModel):
    """Base of every part: immutable, an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Protocol(Part):
    """Base of every protocol: its module `protocols/<kind>.py` has its own `Protocol`, which says how it is run.

    Attributes:
        kind: name of the module.
        families: the families that it can judge.
    """

    kind: str
    families: ClassVar[tuple[Family, ...]] = ("PredictiveModel", "SurvivalModel")

    @abstractmethod
    def told(self) -> str:
        """The protocol in words, for the page."""

    @abstractmethod
    def run(self, benchmark: Benchmark, table: pa.Table, ground: Ground) -> Outcome:
        """Learn and judge.

        Args:
            benchmark: the data set, with the solution as a user would write it.
            table: the rows.
            ground: where to work; a quick run takes one seed or split only.
        """


def kinds() -> list[str]:
    """Names of the protocols there are."""
    return [each.name for each in pkgutil.iter_modules(importlib.import_module(KINDS).__path__)]


def _by_kind(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value.get("kind") not in kinds():
        msg = f"kind is one of {', '.join(kinds())}; found {value.get('kind')}"
        raise ValueError(msg)
    return importlib.import_module(f"{KINDS}.{value['kind']}").Protocol.model_validate(value)


AnyProtocol = Annotated[SerializeAsAny[Protocol], BeforeValidator(_by_kind)]


class Measure(Part):
    """A figure and what it is held against.

    Attributes:
        name: name of the figure, a metric of the task or one of the protocol's own.
        part: judged part, None where there is one only.
        better: which way is better.
        must: what must be reached, a limit or the two ends of a band; None where it is only aimed at.
        aim: what is aimed at.
        floor: what the plain method reaches under the same protocol (`floor_is` says which).
        published: what was published, and `source` with which protocol.
        note: what a reader of the figure has to know.
    """

    name: str
    part: str | None = None
    better: Literal["higher", "lower"] = "higher"
    must: float | tuple[float, float] | None = None
    aim: float | None = None
    floor: float | None = None
    floor_is: str = "LightGBM as it comes"
    published: float | None = None
    source: str = ""
    note: str = ""

    @property
    def title(self) -> str:
        """Name and part."""
        return self.name if self.part is None else f"{self.name} {self.part}"

    def is_met(self, value: float) -> bool | None:
        """Whether a value reaches `must`; None where nothing must be reached."""
        return self._reaches(value, self.must)

    def is_aim_met(self, value: float) -> bool | None:
        """Whether a value reaches `aim`; None where nothing is aimed at."""
        return self._reaches(value, self.aim)

    def _reaches(self, value: float, limit: float | tuple[float, float] | None) -> bool | None:
        if limit is None:
            return None
        if isinstance(limit, tuple):
            return limit[0] <= value <= limit[1]
        return value <= limit if self.better == "lower" else value >= limit


class NotComparable(Part):
    """A published figure that is not chased, with the reason: it leaks, or was measured on something else."""

    figure: str
    source: str
    why: str


class Beside(Part):
    """A harder protocol reported beside the published one: later rows, or groups that were not seen.

    Attributes:
        label: told with each of its figures: `later rows`.
        protocol: how rows are parted.
        measures: its figures.
    """

    label: str
    protocol: AnyProtocol
    measures: list[Measure]


class Benchmark(Part):
    """One data set.

    Attributes:
        data: name of the folder with its files, and of the YAML.
        title: what it is about.
        about: where the data is from; says whether it is simulated.
        published_at: where it is published.
        files: what its folder must hold.
        sql: makes the table of the files; `{folder}` stands for their folder.
        through: the family whose door the table takes.
        protocol: the published protocol.
        solution: what the family's YAML says, less stage, slug and table.
        measures: what is measured under the published protocol.
        beside: harder protocols, reported only.
        forward: why none is beside the published one: it looks forward itself, or there is neither time nor group.
        not_comparable: published figures that are not chased.
    """

    data: str
    title: str
    about: str = ""
    published_at: str
    files: list[str]
    sql: str
    through: Family
    protocol: AnyProtocol
    solution: dict[str, Any]
    measures: list[Measure]
    beside: list[Beside] = Field(default_factory=list)
    forward: str = ""
    not_comparable: list[NotComparable] = Field(default_factory=list)

    @field_validator("measures")
    @classmethod
    def _named_once(cls, value: list[Measure]) -> list[Measure]:
        titles = [each.title for each in value]
        if len(set(titles)) < len(titles):
            msg = f"each figure is measured once; found {', '.join(titles)}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _judged_by_its_own(self) -> Benchmark:
        family = family_named(self.through)
        if family is None:
            msg = f"through is one of {', '.join(each.component for each in FAMILIES)}; found {self.through}"
            raise ValueError(msg)
        family.spec.model_validate({**self.solution, "stage": "benchmark", "slug": self.data, "table": "benchmark"})
        for each in self.rounds(quick=False):
            if self.through not in each.protocol.families:
                msg = f"protocol '{each.protocol.kind}' judges {', '.join(each.protocol.families)}; not {self.through}"
                raise ValueError(msg)
        return self

    def rounds(self, *, quick: bool) -> Iterator[Beside]:
        """The published protocol, and those beside it unless it is to be quick."""
        yield Beside(label="", protocol=self.protocol, measures=self.measures)
        if not quick:
            yield from self.beside

    def lost(self, folder: Path) -> list[str]:
        """Files that the folder of data sets does not have."""
        return [name for name in self.files if not (folder / self.data / name).is_file()]


def benchmarks() -> list[Benchmark]:
    """All of them, by name."""
    return [
        Benchmark(data=file.stem, **yaml.safe_load(file.read_text(encoding="utf-8")))
        for file in sorted(FOLDER.glob("*.yaml"))
    ]
