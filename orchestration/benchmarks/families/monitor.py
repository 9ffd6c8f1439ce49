"""A process monitor on a benchmark's table: read, and learnt from all reference rows, as a user's table is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.context import ModelContext
from models.process_monitor.fitting import Fitted, fit
from models.process_monitor.observations import Observations, observe
from models.process_monitor.spec import MonitorSpec
from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.spec import Benchmark
from pipelines.lake.home import Home


@dataclass(frozen=True)
class Watched:
    """A monitor and the rows it was made from; seconds by the clock and of the processor to learn it."""

    spec: MonitorSpec
    seen: Observations
    fitted: Fitted
    seconds: float
    cpu_s: float


def watch(benchmark: Benchmark, table: pa.Table, ground: Ground, **changed: Any) -> Watched:
    """Learn the benchmark's solution on all reference rows.

    Args:
        benchmark: the data set with its solution.
        table: the rows.
        ground: where to work.
        changed: attributes of the solution that are replaced.
    """
    file = ground.folder / "table.parquet"
    pq.write_table(table, file)
    named = {"stage": "benchmark", "slug": benchmark.data, "table": str(file)}
    spec = MonitorSpec.model_validate({**benchmark.solution, **changed, **named})
    ctx = ModelContext(home=Home(ground.folder), n_threads=1)
    begun, cpu = time.perf_counter(), time.process_time()
    seen = observe(spec, ctx)
    fitted = fit(spec, ctx, seen, seen.is_reference, seen.cut(0.0))
    return Watched(spec, seen, fitted, time.perf_counter() - begun, time.process_time() - cpu)
