"""A model on rows it has not seen: metrics with intervals, beside the naive baselines."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.evaluation.adaptive import adapted
from models.evaluation.baselines import naive_predictions
from models.evaluation.bootstrap import Interval
from models.evaluation.metrics import row_loss, task_metrics, with_intervals
from models.prepare import Prepared
from models.scoring.runtime import Array, Scorer, calibrate
from models.spec import PredictiveSpec


@dataclass
class Outputs:
    """A model's answers for some rows.

    Attributes:
        rows: Row numbers in the frame.
        y: Labels as the frame's class numbers.
        predicted: Calibrated probability (n,), class probabilities (n, classes), value (n,) or quantiles (n, 3).
        finished: The predictor's columns.
        seconds: Time the answers took, feature building included.
    """

    rows: Array
    y: Array
    predicted: Array
    finished: dict[str, Array]
    seconds: float


@dataclass
class Evaluation:
    """Figures on the hold-out.

    Attributes:
        outputs: The model's answers.
        metrics: Each metric with its interval.
        baselines: Naive predictions by name.
        baseline_metrics: The primary metric of each baseline.
        best_baseline: Name of the baseline with the least loss.
        skill: Regression: 1 - RMSE / RMSE of the lot mean (or what stands in for it); else 1 - loss / its loss.
    """

    outputs: Outputs
    metrics: dict[str, Interval]
    baselines: dict[str, Array]
    baseline_metrics: dict[str, float]
    best_baseline: str
    skill: float


def _align(probabilities: Array, own: list[str], classes: list[str]) -> Array:
    """Class probabilities in the order of the frame's classes; classes the model does not know get none."""
    if own == classes:
        return probabilities
    out = np.zeros((len(probabilities), len(classes)))
    for place, name in enumerate(own):
        if name in classes:
            out[:, classes.index(name)] = probabilities[:, place]
    return out


def answer(spec: PredictiveSpec, prepared: Prepared, scorer: Scorer, rows: Array) -> Outputs:
    """A scorer's answers for some rows of the frame."""
    part = prepared.frame.take(rows)
    begun = time.perf_counter()
    raw = scorer.raw(scorer.matrix(part.table))
    finished = scorer.finish(raw)
    seconds = time.perf_counter() - begun
    predicted = raw
    if spec.task == "binary":
        # The event may have changed sides since (the rarer class is not always the same one).
        same = scorer.bundle["classes"] == prepared.labels.classes
        predicted = finished["probability"] if same else 1 - finished["probability"]
    elif spec.task == "multiclass":
        predicted = _align(
            calibrate(raw, scorer.bundle["calibration"]), scorer.bundle["classes"], prepared.labels.classes
        )
    return Outputs(rows, prepared.labels.y[rows], np.asarray(predicted, dtype=np.float64), finished, seconds)


def as_acting(spec: PredictiveSpec, prepared: Prepared, scorer: Scorer, outputs: Outputs) -> Outputs:
    """Answers for labelled rows that the model has not seen, each interval by the labels known when its row acted."""
    time, known = prepared.frame.time, prepared.frame.known_at
    if spec.is_classification or time is None or known is None:
        return outputs
    seen = np.abs(outputs.y - outputs.finished["value"]), known[outputs.rows]
    return replace(outputs, finished=adapted(spec, scorer, outputs.finished, time[outputs.rows], seen))


def baselines_of(spec: PredictiveSpec, prepared: Prepared, train: Array, rows: Array) -> dict[str, Array]:
    """Naive predictions for some rows; see `naive_predictions`."""
    frame = prepared.frame
    return naive_predictions(
        spec,
        prepared.labels.y,
        train,
        rows,
        group=prepared.order.group,
        has_group=prepared.has_group,
        time=frame.time if prepared.order.finish is not None else None,
        known=frame.known_at,
        column=frame.baseline,
        n_classes=len(prepared.labels.classes),
    )


def _decide(spec: PredictiveSpec, classes: list[str], predicted: Array, threshold: float) -> dict[str, Any]:
    """A baseline's columns as the predictor would give them."""
    if spec.task == "binary":
        return {"class": np.asarray(classes, dtype=object)[(predicted >= threshold).astype(int)]}
    if spec.task == "multiclass":
        return {"class": np.asarray(classes, dtype=object)[predicted.argmax(axis=1)]}
    return {"low": predicted[:, 0], "high": predicted[:, 2]} if spec.task == "quantile" else {}


def evaluate(spec: PredictiveSpec, prepared: Prepared, scorer: Scorer, rows: Array) -> Evaluation:
    """All figures of a model on some rows; intervals are walked through in time, as those that act are.

    Args:
        spec: the solution.
        prepared: the frame the rows belong to.
        scorer: the model.
        rows: labelled rows the model has not seen.
    """
    outputs = as_acting(spec, prepared, scorer, answer(spec, prepared, scorer, rows))
    classes, groups = prepared.labels.classes, prepared.order.group[rows]
    figures = task_metrics(spec, classes, outputs.y, outputs.predicted, outputs.finished)
    naive = baselines_of(spec, prepared, prepared.split.development, rows)
    losses = {name: float(row_loss(spec, outputs.y, p).mean()) for name, p in naive.items()}
    threshold = float(scorer.bundle["threshold"])
    ones = np.ones(len(rows))
    shown = {}
    for name, predicted in naive.items():
        own = task_metrics(spec, classes, outputs.y, predicted, _decide(spec, classes, predicted, threshold))
        shown[name] = own[spec.primary_metric](ones) if spec.primary_metric in own else float("nan")
    reference = next(name for name in ("lot_mean", "running_mean", "prior") if name in naive)
    own_loss = float(row_loss(spec, outputs.y, outputs.predicted).mean())
    ratio = own_loss / losses[reference] if losses[reference] > 0 else 1.0
    return Evaluation(
        outputs=outputs,
        metrics=with_intervals(figures, groups, spec.search.seed),
        baselines=naive,
        baseline_metrics=shown,
        best_baseline=min(losses, key=lambda name: losses[name]),
        skill=1 - float(np.sqrt(ratio)) if spec.task == "regression" else 1 - ratio,
    )
