"""PredictiveModel on one split: the reading, search and fit that a user's own table gets."""

from __future__ import annotations

import numpy as np

from models.evaluation.evaluate import evaluate
from models.fitting import Fitted, fit
from models.prepare import Prepared, prepare
from models.spec import PredictiveSpec
from orchestration.benchmarks.families.rows import Figures, judge_rows
from orchestration.benchmarks.lives import life_metrics, percent_error
from orchestration.benchmarks.outcome import Answers, Array
from orchestration.benchmarks.splitting import Job, Judged


def judge(job: Job) -> Judged:
    """Learn and judge one split; see `judge_rows`."""
    return judge_rows(job, PredictiveSpec, prepare, fit, _on, _chosen)


def _on(spec: PredictiveSpec, prepared: Prepared, fitted: Fitted, rows: Array) -> tuple[Figures, Answers]:
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
