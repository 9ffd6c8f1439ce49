"""Protocols that part the rows: a family learns on some and is judged on others, split by split."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.outcome import Figure, Outcome, Picture, over_draws
from orchestration.benchmarks.spec import Benchmark

Array = npt.NDArray[Any]
PART, LEARNT, JUDGED = "benchmark_part", "learnt", "judged"
_FAMILIES = {"PredictiveModel": "predictive", "SurvivalModel": "survival"}


@dataclass(frozen=True)
class Split:
    """One split of the rows.

    Attributes:
        seed: of the search.
        parts: per row `learnt` or the judged part that it belongs to; None: the row is not there.
        has_answer: per row whether its answer counts; a row without one is there only for the windows over it.
    """

    seed: int
    parts: Array
    has_answer: Array | None = None

    @property
    def judged(self) -> list[str]:
        """The judged parts."""
        return sorted({part for part in self.parts.tolist() if part not in (None, LEARNT)})

    def table(self, benchmark: Benchmark, table: pa.Table) -> pa.Table:
        """The rows of the split; a column says which part each belongs to."""
        if self.has_answer is not None:
            column = benchmark.solution["target"]["column"]
            place = table.schema.get_field_index(column)
            answers = pa.compute.if_else(pa.array(self.has_answer), table.column(column), None)
            table = table.set_column(place, column, answers)
        parts = pa.array(self.parts.tolist(), pa.string())
        return table.append_column(PART, parts).filter(parts.is_valid())


@dataclass(frozen=True)
class Answers:
    """What was answered for the judged rows of a part, for pictures.

    Attributes:
        y: the true values (a number, or 1 for the event).
        value: the answer, or the event's probability.
        low: lower end of its interval; None without one.
        high: upper end.
    """

    y: Array
    value: Array
    low: Array | None = None
    high: Array | None = None


@dataclass(frozen=True)
class Judged:
    """What a family brought on one split.

    Attributes:
        metrics: by part and name; value with the ends of its 95 % interval over the judged rows.
        answers: by part.
        chosen: what the search chose, for people.
        seconds: by the clock, search and fit.
        cpu_s: of the processor.
    """

    metrics: dict[tuple[str, str], tuple[float, float, float]]
    answers: dict[str, Answers]
    chosen: str
    seconds: float
    cpu_s: float


@dataclass(frozen=True)
class Job:
    """One split for one process."""

    benchmark: Benchmark
    file: Path
    seed: int
    judged: list[str] = field(default_factory=list)


class _Family(Protocol):
    def judge(self, job: Job) -> Judged: ...


def judge_split(job: Job) -> Judged:
    """Learn and judge one split through the family that the data set names."""
    name = f"{__package__}.families.{_FAMILIES[job.benchmark.through]}"
    return cast("_Family", importlib.import_module(name)).judge(job)


def judge_splits(benchmark: Benchmark, table: pa.Table, splits: Sequence[Split], ground: Ground) -> list[Judged]:
    """Every split through the family, side by side.

    Args:
        benchmark: the data set.
        table: its rows.
        splits: how they are parted.
        ground: where to work.
    """
    jobs = []
    for number, split in enumerate(splits):
        file = ground.folder / f"split_{number}.parquet"
        pq.write_table(split.table(benchmark, table), file)
        jobs.append(Job(benchmark, file, split.seed, split.judged))
    return ground.each(judge_split, jobs)


def outcome(judged: Sequence[Judged], of: str, pictures: tuple[Picture, ...] = ()) -> Outcome:
    """Figures over all splits: the mean with its interval, or of a single one that over its rows.

    Args:
        judged: what each split that counts brought, at least one.
        of: what they are: `splits`, `seeds`.
        pictures: of the page.
    """
    figures: dict[str, Figure] = {}
    for part, metric in judged[0].metrics:
        each = np.asarray([one.metrics[part, metric] for one in judged])
        _, low, high = each.mean(axis=0).tolist()
        one_draw = Figure((float(each[0, 0]),), low, high, "judged rows", (low, high))
        drawn = one_draw if len(each) == 1 else replace(over_draws(each[:, 0].tolist(), of), rows=(low, high))
        figures[metric if part == JUDGED else f"{metric} {part}"] = drawn
    return Outcome(
        figures,
        seconds=float(np.mean([one.seconds for one in judged])),
        cpu_s=float(np.mean([one.cpu_s for one in judged])),
        chosen=tuple(one.chosen for one in judged),
        pictures=pictures,
    )
