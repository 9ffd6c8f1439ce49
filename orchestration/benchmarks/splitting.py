"""Protocols that part the rows: a family learns on some and is judged on others, split by split."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.benchmarks import pictures, spec
from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.outcome import Answers, Array, Figure, Outcome, over_draws

PART, LEARNT, JUDGED = "benchmark_part", "learnt", "judged"
_FAMILIES = {"PredictiveModel": "predictive", "SurvivalModel": "survival"}


@dataclass(frozen=True)
class Split:
    """One split of the rows.

    Attributes:
        seed: of the search.
        parts: per row `learnt` or the judged part that it belongs to; None: the row is not there.
        has_answer: per row whether its answer counts; a row without one is there only for the windows over it.
        counts: whether the split is part of the mean; one that is not is shown as `<figure> seed <seed>`.
    """

    seed: int
    parts: Array
    has_answer: Array | None = None
    counts: bool = True

    @property
    def judged(self) -> list[str]:
        """The judged parts."""
        return sorted({part for part in self.parts.tolist() if part not in (None, LEARNT)})

    def table(self, benchmark: spec.Benchmark, table: pa.Table) -> pa.Table:
        """The rows of the split; a column says which part each belongs to."""
        if self.has_answer is not None:
            column = benchmark.solution["target"]["column"]
            place = table.schema.get_field_index(column)
            answers = pc.if_else(pa.array(self.has_answer), table.column(column), None)
            table = table.set_column(place, column, answers)
        parts = pa.array(self.parts.tolist(), pa.string())
        return table.append_column(PART, parts).filter(parts.is_valid())


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
    """One split for one process.

    Attributes:
        benchmark: the data set.
        file: rows of the split, with the column that parts them.
        seed: of the search.
        judged: the judged parts.
    """

    benchmark: spec.Benchmark
    file: Path
    seed: int
    judged: list[str]


class _Family(Protocol):
    def judge(self, job: Job) -> Judged: ...


def judge_split(job: Job) -> Judged:
    """Learn and judge one split through the family that the data set names."""
    name = f"{__package__}.families.{_FAMILIES[job.benchmark.through]}"
    return cast("_Family", importlib.import_module(name)).judge(job)


def judge_splits(benchmark: spec.Benchmark, table: pa.Table, splits: Sequence[Split], ground: Ground) -> list[Judged]:
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


class RowProtocol(spec.Protocol):
    """Base of the protocols that part the rows."""

    drawn: ClassVar[str] = "seeds"

    @abstractmethod
    def parted(self, table: pa.Table, *, quick: bool) -> list[Split]:
        """How the rows are parted; the first split only when it is to be quick."""

    def run(self, benchmark: spec.Benchmark, table: pa.Table, ground: Ground) -> Outcome:
        """Learn and judge each split."""
        splits = self.parted(table, quick=ground.is_quick)
        judged = list(zip(splits, judge_splits(benchmark, table, splits, ground), strict=True))
        counted = [each for split, each in judged if split.counts]
        figures = _figures(counted, self.drawn)
        for split, each in judged:
            if not split.counts:
                figures |= {f"{name} seed {split.seed}": figure for name, figure in _figures([each], "").items()}
        return Outcome(
            figures,
            seconds=float(np.mean([each.seconds for each in counted])),
            cpu_s=float(np.mean([each.cpu_s for each in counted])),
            chosen=tuple(each.chosen for each in counted),
            pictures=pictures.of_answers(benchmark, counted[0].answers),
        )


def _figures(judged: Sequence[Judged], of: str) -> dict[str, Figure]:
    """Figures over all splits: the mean with its interval, or of a single one that over its rows."""
    figures: dict[str, Figure] = {}
    for part, metric in judged[0].metrics:
        each = np.asarray([one.metrics[part, metric] for one in judged])
        _, low, high = each.mean(axis=0).tolist()
        one_draw = Figure((float(each[0, 0]),), low, high, "judged rows", (low, high))
        drawn = one_draw if len(each) == 1 else replace(over_draws(each[:, 0].tolist(), of), rows=(low, high))
        figures[metric if part == JUDGED else f"{metric} {part}"] = drawn
    return figures
