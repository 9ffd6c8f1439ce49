"""What a benchmark is, as its YAML says it: files, table, solution, protocol, and what is to be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).parent / "tables"
LOWER_IS_BETTER = ("rmse", "rmse_uncapped", "mae", "nasa_score")


class Part(BaseModel):
    """Base of every part: immutable, an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stratified(Part):
    """Random splits that keep the share of the classes."""

    kind: Literal["stratified"]
    test_share: float = Field(gt=0.0, lt=1.0)
    splits: int = Field(ge=1, description="seeds 0 and up, whose mean counts")
    shown: int | None = Field(default=None, description="seed of the published split, shown beside it and not counted")


class Parts(Part):
    """The split that the authors published, as a column of the table."""

    kind: Literal["parts"]
    column: str
    learnt: list[str]
    judged: list[str]


class Measure(Part):
    """A figure and what it is held against.

    Attributes:
        name: metric of the task.
        part: judged part, None where there is one only.
        must: what must be reached; None where it is only aimed at.
        aim: what is aimed at.
        floor: what plain LightGBM reaches under the same protocol.
        published: what was published, and `source` with which protocol.
    """

    name: str
    part: str | None = None
    must: float | None = None
    aim: float
    floor: float | None = None
    published: float | None = None
    source: str = ""

    def is_met(self, value: float) -> bool | None:
        """Whether a value reaches `must`; None where nothing must be reached."""
        if self.must is None:
            return None
        return value <= self.must if self.name in LOWER_IS_BETTER else value >= self.must


class Benchmark(Part):
    """One data set."""

    data: str
    title: str
    published_at: str
    files: list[str]
    sql: str
    protocol: Stratified | Parts = Field(discriminator="kind")
    solution: dict[str, Any]
    measures: list[Measure]

    def lost(self, folder: Path) -> list[str]:
        """Files that the folder of data sets does not have."""
        return [name for name in self.files if not (folder / self.data / name).is_file()]


def benchmarks() -> list[Benchmark]:
    """All of them, by name."""
    return [
        Benchmark(data=file.stem, **yaml.safe_load(file.read_text(encoding="utf-8")))
        for file in sorted(FOLDER.glob("*.yaml"))
    ]
