"""Figures by which models are shown and compared. Each takes a weight per row, so that it can be resampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.evaluation.bootstrap import Interval, metric_interval
from models.scoring.runtime import Array
from models.spec import Costs, PredictiveSpec

HIGHER_IS_BETTER = {
    "roc_auc",
    "average_precision",
    "f1",
    "precision",
    "recall",
    "macro_f1",
    "accuracy",
    "r2",
    "skill",
    "coverage",
    "concordance",
}

Metric = Callable[[Array], float]


def row_loss(spec: PredictiveSpec, y: Array, predicted: Array) -> Array:
    """Proper loss per row: squared error, mean pinball loss over the quantiles, or Brier score."""
    if spec.task == "regression":
        return np.asarray((y - predicted) ** 2)
    if spec.task == "quantile":
        levels = np.asarray(spec.quantiles)
        error = y[:, None] - predicted
        return np.asarray(np.maximum(levels * error, (levels - 1) * error).mean(axis=1))
    if spec.task == "binary":
        return np.asarray((predicted - y) ** 2)
    truth = np.zeros_like(predicted)
    truth[np.arange(len(y)), y.astype(int)] = 1.0
    return np.asarray(((predicted - truth) ** 2).sum(axis=1))


def decision_cost(spec: PredictiveSpec, classes: list[str], y: Array, decided: Array) -> Array:
    """Cost per row of deciding `decided` (class numbers) where `y` is true; error rate without a cost matrix."""
    if spec.costs is None:
        return np.asarray((decided != y).astype(np.float64))
    return np.asarray(cost_matrix(spec, classes)[y.astype(int), decided.astype(int)])


def cost_matrix(spec: PredictiveSpec, classes: list[str]) -> Array:
    """Costs as (actual, decided); classes that the YAML does not price cost 0 when right and 1 when wrong."""
    costs = spec.costs or Costs()
    if costs.matrix is None:
        return np.asarray(
            [[costs.true_negative, costs.false_positive], [costs.false_negative, costs.true_positive]], dtype=np.float64
        )
    out = 1.0 - np.eye(len(classes))
    for actual, row in costs.matrix.items():
        for decided, cost in row.items():
            if actual in classes and decided in classes:
                out[classes.index(actual), classes.index(decided)] = cost
    return out


def _mean(values: Array) -> Metric:
    return lambda w: float(values @ w / w.sum())


def _root(values: Array) -> Metric:
    return lambda w: float(np.sqrt(values @ w / w.sum()))


def roc_auc(y: Array, score: Array) -> Metric:
    """Area under the ROC curve, ties counted half."""
    order = np.argsort(score, kind="stable")
    positive = y[order] == 1
    _, tie = np.unique(score[order], return_inverse=True)

    def metric(w: Array) -> float:
        weight = w[order]
        up = np.bincount(tie, weights=weight * positive)
        down = np.bincount(tie, weights=weight * ~positive)
        below = np.cumsum(down) - down
        total = up.sum() * down.sum()
        return float((up * (below + 0.5 * down)).sum() / total) if total > 0 else float("nan")

    return metric


def average_precision(y: Array, score: Array) -> Metric:
    """Area under the precision-recall curve as a sum over steps."""
    order = np.argsort(-score, kind="stable")
    positive = y[order] == 1
    ranked = score[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    def metric(w: Array) -> float:
        weight = w[order]
        hits = np.cumsum(weight * positive)[last]
        flagged = np.cumsum(weight)[last]
        if not len(hits) or hits[-1] == 0:
            return float("nan")
        step = np.diff(hits, prepend=0.0) / hits[-1]
        return float((step * hits / np.maximum(flagged, 1e-12)).sum())

    return metric


def _f1(y: Array, flagged: Array) -> dict[str, Metric]:
    hit, flag, true = (y == 1) & flagged, flagged.astype(float), (y == 1).astype(float)
    return {
        "f1": lambda w: float(2 * (hit @ w) / max(flag @ w + true @ w, 1e-12)),
        "precision": lambda w: float((hit @ w) / max(flag @ w, 1e-12)),
        "recall": lambda w: float((hit @ w) / max(true @ w, 1e-12)),
    }


def _macro_f1(y: Array, decided: Array, count: int) -> Metric:
    same = y == decided
    actual, chosen = y.astype(int), decided.astype(int)

    def metric(w: Array) -> float:
        hits = np.bincount(actual, weights=w * same, minlength=count)
        both = np.bincount(actual, weights=w, minlength=count) + np.bincount(chosen, weights=w, minlength=count)
        return float((2 * hits[both > 0] / both[both > 0]).mean())

    return metric


def _regression(y: Array, value: Array) -> dict[str, Metric]:
    square = (y - value) ** 2

    def r2(w: Array) -> float:
        centre = y @ w / w.sum()
        spread = ((y - centre) ** 2) @ w
        return float(1 - (square @ w) / spread) if spread > 0 else float("nan")

    return {"rmse": _root(square), "mae": _mean(np.abs(y - value)), "r2": r2}


def task_metrics(
    spec: PredictiveSpec, classes: list[str], y: Array, predicted: Array, finished: dict[str, Any]
) -> dict[str, Metric]:
    """All metrics of a task.

    Args:
        spec: task, costs, quantiles.
        classes: class names.
        y: labels.
        predicted: calibrated probability, class probabilities, value, or quantiles.
        finished: the predictor's columns (`class`, `low`, `high`).
    """
    if spec.task == "binary":
        decided = finished["class"] == classes[1]
        cost = decision_cost(spec, classes, y, decided.astype(int))
        out = {"roc_auc": roc_auc(y, predicted), "average_precision": average_precision(y, predicted)}
        out |= {"brier": _mean(row_loss(spec, y, predicted)), **_f1(y, decided)}
        return out | {"expected_cost" if spec.costs else "error_rate": _mean(cost)}
    if spec.task == "multiclass":
        number = {name: place for place, name in enumerate(classes)}
        decided = np.asarray([number[name] for name in finished["class"]])
        cost = decision_cost(spec, classes, y, decided)
        out = {"macro_f1": _macro_f1(y, decided, len(classes)), "accuracy": _mean((y == decided).astype(float))}
        return out | {
            "brier": _mean(row_loss(spec, y, predicted)),
            "expected_cost" if spec.costs else "error_rate": _mean(cost),
        }
    value = predicted[:, 1] if spec.task == "quantile" else predicted
    out = _regression(y, value)
    if spec.task == "quantile":
        out["pinball"] = _mean(row_loss(spec, y, predicted))
    if finished.get("low") is not None:
        inside = (y >= finished["low"]) & (y <= finished["high"])
        out["coverage"] = _mean(inside.astype(float))
        out["interval_width"] = _mean(finished["high"] - finished["low"])
    return out


def with_intervals(metrics: dict[str, Metric], groups: Array, seed: int) -> dict[str, Interval]:
    """Each metric with its 95 % interval over resampled groups."""
    return {name: metric_interval(metric, groups, seed) for name, metric in metrics.items()}
