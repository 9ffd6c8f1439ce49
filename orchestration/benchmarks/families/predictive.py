"""PredictiveModel on one split: the reading, search and fit that a user's own table gets."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from models.context import ModelContext
from models.evaluation.evaluate import evaluate
from models.fitting import Fitted, fit
from models.prepare import Prepared, prepare
from models.spec import PredictiveSpec
from orchestration.benchmarks.lives import life_metrics, percent_error
from orchestration.benchmarks.outcome import Answers, Array
from orchestration.benchmarks.splitting import PART, Job, Judged
from pipelines.lake.home import Home


def as_written(job: Job) -> dict[str, Any]:
    """The solution as a user would write it, over the split's rows."""
    solution = job.benchmark.solution
    return {
        **solution,
        "stage": "benchmark",
        "slug": job.benchmark.data,
        "table": str(job.file),
        "split": {**solution.get("split", {}), "part": PART, "holdout_parts": job.judged},
        "search": {**solution.get("search", {}), "seed": job.seed},
    }


def judge(job: Job) -> Judged:
    """Learn and judge one split.

    Args:
        job: the split; its file holds the rows with the column that parts them.
    """
    spec = PredictiveSpec.model_validate(as_written(job))
    ctx = ModelContext(home=Home(job.file.parent), n_threads=1)
    begun, cpu = time.perf_counter(), time.process_time()
    prepared = prepare(spec, ctx)
    fitted = fit(spec, ctx, prepared)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    metrics: dict[tuple[str, str], tuple[float, float, float]] = {}
    answers = {}
    for part in job.judged:
        found, answers[part] = _on(spec, prepared, fitted, rows_of(prepared, part))
        metrics |= {(part, name): each for name, each in found.items()}
    return Judged(metrics, answers, _chosen(fitted), seconds, cpu_s)


def rows_of(prepared: Prepared, part: str) -> Array:
    """Judged rows of a part."""
    held = prepared.split.holdout
    if prepared.frame.part is None:
        return held
    return np.asarray(held[np.asarray(prepared.frame.part.to_pylist(), dtype=object)[held] == part])


def _on(
    spec: PredictiveSpec, prepared: Prepared, fitted: Fitted, rows: Array
) -> tuple[dict[str, tuple[float, float, float]], Answers]:
    evaluation = evaluate(spec, prepared, fitted.scorer, rows)
    outputs = evaluation.outputs
    metrics = {name: (each.value, each.low, each.high) for name, each in evaluation.metrics.items()}
    y = outputs.y
    if spec.target.at_most is not None:
        y = np.asarray(prepared.frame.raw_target().to_numpy(), dtype=np.float64)[rows]
        metrics |= life_metrics(y, outputs.predicted)
    if spec.task == "regression" and (y > 0).all():
        metrics["percent_error"] = percent_error(y, outputs.predicted)
    finished = outputs.finished
    return metrics, Answers(y, outputs.predicted, finished.get("low"), finished.get("high"))


def _chosen(fitted: Fitted) -> str:
    """The library, and the features that the family built."""
    built = [feature["name"] for feature in fitted.scorer.bundle["features"] if feature["kind"] == "built"]
    library = fitted.found.best.estimator.library
    return f"{library} with {', '.join(built)}" if built else library
