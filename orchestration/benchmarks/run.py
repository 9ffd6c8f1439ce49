"""Runs a benchmark: the same reading, search and fit that a user's own table gets, on each split of the protocol."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.context import ModelContext
from models.evaluation.evaluate import Outputs, evaluate
from models.fitting import fit
from models.prepare import Prepared, prepare
from models.spec import PredictiveSpec
from orchestration.benchmarks.spec import Benchmark, Measure, Parts, Stratified
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_literal

_PART = "benchmark_part"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Split:
    """One split of a protocol: the rows it takes, those that are judged, and how it is called."""

    name: str
    seed: int
    rows: np.ndarray[Any, np.dtype[np.bool_]]
    is_judged: np.ndarray[Any, np.dtype[np.bool_]]
    counts: bool = True


@dataclass(frozen=True)
class Figures:
    """What one split brought: metrics, with the interval over its rows, and seconds of search and fit."""

    split: Split
    metrics: dict[str, tuple[float, float, float]]
    library: str
    built: list[str]
    seconds: float


def read(benchmark: Benchmark, folder: Path) -> pa.Table:
    """The benchmark's table, made of its files by its SQL."""
    import duckdb

    with duckdb.connect() as con:
        place = quote_literal(folder / benchmark.data)[1:-1]  # it stands inside the quotes of a file's name
        return con.execute(benchmark.sql.format(folder=place)).to_arrow_table()


def splits(benchmark: Benchmark, table: pa.Table, *, quick: bool) -> Iterator[Split]:
    """The splits of the protocol; `quick` takes the first only."""
    protocol = benchmark.protocol
    if isinstance(protocol, Parts):
        values = np.asarray(table.column(protocol.column).to_pylist(), dtype=object)
        for part in protocol.judged:
            judged = values == part
            yield Split(part, 0, judged | np.isin(values, protocol.learnt), judged)
        return
    seeds = [0] if quick else list(range(protocol.splits))
    y = np.asarray(table.column(benchmark.solution["target"]["column"]).to_pylist())
    everything = np.ones(table.num_rows, dtype=bool)
    for seed in seeds:
        yield Split("", seed, everything, _drawn(protocol, y, seed))
    if protocol.shown is not None and not quick:
        yield Split("", protocol.shown, everything, _drawn(protocol, y, protocol.shown), counts=False)


def _drawn(protocol: Stratified, y: Any, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """scikit-learn's split, for its seeds are the published ones."""
    from sklearn.model_selection import train_test_split

    _, test = train_test_split(np.arange(len(y)), test_size=protocol.test_share, stratify=y, random_state=seed)
    out = np.zeros(len(y), dtype=bool)
    out[test] = True
    return out


def measure(benchmark: Benchmark, folder: Path, tell: Tell, *, quick: bool = False) -> list[Figures]:
    """Figures of every split.

    Args:
        benchmark: the data set.
        folder: folder of the data sets.
        tell: called before each split.
        quick: the first split only.
    """
    table = read(benchmark, folder)
    found = []
    with tempfile.TemporaryDirectory(prefix="cellworks-benchmarks-") as place:
        for split in splits(benchmark, table, quick=quick):
            tell(f"{benchmark.data} {split.name} split {split.seed}".replace("  ", " "))
            found.append(_figures(benchmark, table, split, Path(place)))
    return found


def _figures(benchmark: Benchmark, table: pa.Table, split: Split, place: Path) -> Figures:
    parts = pa.array(np.where(split.is_judged, "judged", "learnt").tolist())
    file = place / "table.parquet"
    pq.write_table(table.append_column(_PART, parts).filter(pa.array(split.rows)), file)
    solution = benchmark.solution
    spec = PredictiveSpec.model_validate(
        {
            **solution,
            "stage": "benchmark",
            "slug": benchmark.data,
            "table": str(file),
            "split": {**solution.get("split", {}), "part": _PART, "holdout_parts": ["judged"]},
            "search": {**solution.get("search", {}), "seed": split.seed},
        }
    )
    ctx = ModelContext(home=Home(place))
    begun = time.perf_counter()
    prepared = prepare(spec, ctx)
    fitted = fit(spec, ctx, prepared)
    seconds = time.perf_counter() - begun
    evaluation = evaluate(spec, prepared, fitted.scorer, prepared.split.holdout)
    metrics = {name: (each.value, each.low, each.high) for name, each in evaluation.metrics.items()}
    if spec.target.at_most is not None:
        metrics |= _life_metrics(prepared, evaluation.outputs)
    built = [feature["name"] for feature in fitted.scorer.bundle["features"] if feature["kind"] == "built"]
    return Figures(split, metrics, fitted.found.best.estimator.library, built, seconds)


def _life_metrics(prepared: Prepared, outputs: Outputs) -> dict[str, tuple[float, float, float]]:
    """RMSE against lives that are not capped, and NASA's score (late answers cost more), with bootstrap intervals."""
    y = np.asarray(prepared.frame.raw_target().to_numpy(), dtype=np.float64)[outputs.rows]
    error = outputs.predicted - y
    cost = np.where(error < 0, np.exp(-error / 13), np.exp(error / 10)) - 1
    drawn = np.random.default_rng(0).integers(0, len(y), (2000, len(y)))
    found = {}
    for name, value, resampled in (
        ("rmse_uncapped", np.sqrt(np.mean(error**2)), np.sqrt(np.mean(error[drawn] ** 2, axis=1))),
        ("nasa_score", cost.sum(), cost[drawn].sum(axis=1)),
    ):
        low, high = np.quantile(resampled, [0.025, 0.975])
        found[name] = (float(value), float(low), float(high))
    return found


def result(benchmark: Benchmark, figures: list[Figures], wanted: Measure) -> dict[str, Any]:
    """One row of the command's answer: mean over the splits with its 95 % interval, or one split with its own."""
    counted = [
        each.metrics[wanted.name] for each in figures if each.split.counts and each.split.name == (wanted.part or "")
    ]
    values = np.asarray([value for value, _, _ in counted])
    if len(values) == 1:
        value, low, high = counted[0]
    else:
        from scipy import stats

        value = float(values.mean())
        half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        low, high = value - half, value + half
    return {
        "data": benchmark.data,
        "metric": wanted.name if wanted.part is None else f"{wanted.name} {wanted.part}",
        "value": value,
        "low": low,
        "high": high,
        "floor": wanted.floor,
        "published": wanted.published,
        "must": wanted.must,
        "met": wanted.is_met(value),
    }
