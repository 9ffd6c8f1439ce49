"""What one would predict without a model, from the same knowledge at the same moment."""

from __future__ import annotations

import numpy as np

from models.scoring.runtime import Array
from models.spec import PredictiveSpec

Predictions = dict[str, Array]


def _encode(spec: PredictiveSpec, y: Array, n_classes: int) -> Array:
    """Labels as columns whose means are predictions: (n, 1), or one column per class."""
    if spec.task != "multiclass":
        return y[:, None]
    out = np.zeros((len(y), n_classes))
    out[np.arange(len(y)), y.astype(int)] = 1.0
    return out


def _running(values: Array, group: Array, known: Array, ask_group: Array, ask_time: Array) -> tuple[Array, Array]:
    """Mean of the group's values known before each moment, and how many those are.

    Args:
        values: (n, k) label columns.
        group: group number of each label.
        known: when each label was known.
        ask_group: group number of each question.
        ask_time: moment of each question.
    """
    moments, rank = np.unique(np.concatenate([known, ask_time]), return_inverse=True)
    scale = len(moments) + 1
    key = group.astype(np.int64) * scale + rank[: len(known)]
    order = np.argsort(key, kind="stable")
    key = key[order]
    sums = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values[order], axis=0)])
    until = np.searchsorted(key, ask_group.astype(np.int64) * scale + rank[len(known) :], side="left")
    since = np.searchsorted(key, ask_group.astype(np.int64) * scale, side="left")
    count = (until - since).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (sums[until] - sums[since]) / count[:, None]
    return mean, count


def _last(values: Array, known: Array, ask_time: Array) -> tuple[Array, Array]:
    """The newest value known before each moment, and whether there is one."""
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known[order], ask_time, side="left") - 1
    return values[order][np.maximum(place, 0)], (place >= 0).astype(np.float64)


def _shape(spec: PredictiveSpec, mean: Array, spread: Array) -> Array:
    """Means (n, k) to what a task predicts; quantiles are the mean moved by the training labels' own quantiles."""
    if spec.task == "multiclass":
        return mean
    return mean[:, :1] + spread if spec.task == "quantile" else mean[:, 0]


def naive_predictions(
    spec: PredictiveSpec,
    y: Array,
    train: Array,
    ask: Array,
    *,
    group: Array,
    has_group: bool,
    time: Array | None,
    known: Array | None,
    column: Array | None,
    n_classes: int,
) -> Predictions:
    """Predictions of every naive baseline that the table allows, for the rows `ask`.

    Args:
        spec: the task.
        y: labels of all rows, NaN where unknown.
        train: development rows; their mean is the prior.
        ask: hold-out rows.
        group: group number of all rows.
        has_group: whether those are real groups.
        time: moment of acting of all rows; None without time.
        known: when labels were known; None: at the moment itself.
        column: a prediction that stands in the table (`baseline.column`).
        n_classes: classes for classification.

    Returns:
        `prior`, and where there is time `lot_mean` (or `running_mean`) and `last_value`, and `table`.
    """
    labelled = np.flatnonzero(~np.isnan(y))
    values = _encode(spec, y[labelled], n_classes)
    prior = _encode(spec, y[train], n_classes).mean(axis=0)
    spread = np.quantile(y[train], spec.quantiles) - y[train].mean() if spec.task == "quantile" else np.zeros(1)
    out = {"prior": _shape(spec, np.tile(prior, (len(ask), 1)), spread)}
    if time is not None:
        since = (known if known is not None else time)[labelled]
        everything, count = _running(values, np.zeros(len(labelled)), since, np.zeros(len(ask)), time[ask])
        running = np.where(count[:, None] > 0, everything, prior)
        if has_group:
            mean, count = _running(values, group[labelled], since, group[ask], time[ask])
            out["lot_mean"] = _shape(spec, np.where(count[:, None] > 0, mean, running), spread)
        else:
            out["running_mean"] = _shape(spec, running, spread)
        last, found = _last(values, since, time[ask])
        out["last_value"] = _shape(spec, np.where(found[:, None] > 0, last, prior), spread)
    if column is not None and spec.task != "multiclass":
        given = np.where(np.isfinite(column[ask]), column[ask], prior[0])
        out["table"] = _shape(spec, given[:, None], spread)
    return out
