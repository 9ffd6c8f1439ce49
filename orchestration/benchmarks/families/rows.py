"""What the families that learn from rows share on one split: the solution as written, learning, judging by part."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from models.context import ModelContext
from models.fitting import Fitted
from models.prepare import Prepared
from models.spec import PredictiveSpec
from orchestration.benchmarks.outcome import Answers, Array
from orchestration.benchmarks.splitting import PART, Job, Judged
from pipelines.lake.home import Home

Figures = dict[str, tuple[float, float, float]]
S = TypeVar("S", bound=PredictiveSpec)
P = TypeVar("P", bound=Prepared)


def judge_rows(
    job: Job,
    spec: type[S],
    prepare: Callable[[S, ModelContext], P],
    fit: Callable[[S, ModelContext, P], Fitted],
    judge: Callable[[S, P, Fitted, Array], tuple[Figures, Answers]],
    chosen: Callable[[Fitted], str],
) -> Judged:
    """Learn and judge one split.

    Args:
        job: the split; its file holds the rows with the column that parts them.
        spec: the family's spec.
        prepare: how it reads its rows.
        fit: how it learns.
        judge: figures and answers on some rows.
        chosen: what the search chose, for people.
    """
    solution = job.benchmark.solution
    # As a user would write it, over the split's rows.
    written: dict[str, Any] = {
        **solution,
        "stage": "benchmark",
        "slug": job.benchmark.data,
        "table": str(job.file),
        "split": {**solution.get("split", {}), "part": PART, "holdout_parts": job.judged},
        "search": {**solution.get("search", {}), "seed": job.seed},
    }
    own = spec.model_validate(written)
    ctx = ModelContext(home=Home(job.file.parent), n_threads=1)
    begun, cpu = time.perf_counter(), time.process_time()
    prepared = prepare(own, ctx)
    fitted = fit(own, ctx, prepared)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    metrics: dict[tuple[str, str], tuple[float, float, float]] = {}
    answers = {}
    for part in job.judged:
        found, answers[part] = judge(own, prepared, fitted, _rows_of(prepared, part))
        metrics |= {(part, name): each for name, each in found.items()}
    return Judged(metrics, answers, chosen(fitted), seconds, cpu_s)


def _rows_of(prepared: Prepared, part: str) -> Array:
    """Judged rows of a part."""
    held = prepared.split.holdout
    if prepared.frame.part is None:
        return held
    return np.asarray(held[np.asarray(prepared.frame.part.to_pylist(), dtype=object)[held] == part])
