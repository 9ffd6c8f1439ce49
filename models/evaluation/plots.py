"""Pictures of a model as PNG files, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.evaluation.calibration import reliability
from models.evaluation.evaluate import Evaluation
from models.explain.importance import Importance
from models.fitting import Fitted
from models.prepare import Prepared
from models.scoring.runtime import Array
from models.spec import PredictiveSpec

_TOP = 12


def _figure(title: str, columns: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * columns, 3.6), dpi=90)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    return figure, [figure.add_subplot(1, columns, place + 1) for place in range(columns)]


def _save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file)


def _calibration(spec: PredictiveSpec, evaluation: Evaluation, file: Path) -> None:
    """Reliability of probabilities, or predicted against actual."""
    outputs = evaluation.outputs
    figure, (axis,) = _figure(f"{spec.solution}: hold-out")
    if spec.is_classification:
        p, y = outputs.predicted, outputs.y
        if p.ndim == 2:
            p, y = p.max(axis=1), (p.argmax(axis=1) == y).astype(float)
        mean, share, count = reliability(p, y)
        axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        axis.scatter(mean, share, s=10 + 90 * count / count.max(), color="#0b6e99")
        axis.set_xlabel("predicted probability")
        axis.set_ylabel("observed share")
    else:
        value = outputs.predicted[:, 1] if outputs.predicted.ndim == 2 else outputs.predicted
        limits = [float(min(value.min(), outputs.y.min())), float(max(value.max(), outputs.y.max()))]
        axis.plot(limits, limits, color="0.7", linewidth=1)
        axis.scatter(value[:4000], outputs.y[:4000], s=4, alpha=0.4, color="#0b6e99")
        axis.set_xlabel(f"predicted {spec.target.unit}")
        axis.set_ylabel(f"actual {spec.target.unit}")
    _save(figure, file)


def _residuals(spec: PredictiveSpec, prepared: Prepared, evaluation: Evaluation, file: Path) -> None:
    """Residuals by lot: one box per group, at most 30, in the order they come."""
    outputs = evaluation.outputs
    if spec.task == "multiclass":
        residual = 1.0 - outputs.predicted[np.arange(len(outputs.y)), outputs.y.astype(int)]
    else:
        residual = outputs.y - (outputs.predicted[:, 1] if outputs.predicted.ndim == 2 else outputs.predicted)
    group = prepared.order.group[outputs.rows]
    if not prepared.has_group:
        group = np.arange(len(residual)) * 20 // len(residual)
    names = list(dict.fromkeys(group.tolist()))[-30:]
    figure, (axis,) = _figure(f"{spec.solution}: residuals by {'group' if prepared.has_group else 'stretch of rows'}")
    axis.boxplot([residual[group == name] for name in names], showfliers=False)
    axis.axhline(0, color="0.7", linewidth=1)
    axis.set_xticks([])
    axis.set_ylabel("actual - predicted")
    _save(figure, file)


def _shap(spec: PredictiveSpec, importance: Importance, file: Path) -> None:
    """SHAP summary: one strip per feature, coloured by its value's rank."""
    figure, (axis,) = _figure(f"{spec.solution}: what moves the prediction (SHAP)")
    count = min(_TOP, len(importance.names))
    rng = np.random.default_rng(0)
    for place in range(count):
        values, parts = importance.x[:400, place], importance.shap[:400, place]
        rank = np.argsort(np.argsort(np.nan_to_num(values, nan=-np.inf))) / max(len(values) - 1, 1)
        height = count - place + rng.uniform(-0.25, 0.25, len(parts))
        axis.scatter(parts, height, c=rank, s=4, cmap="coolwarm")
    axis.set_yticks(range(count, 0, -1), [name[:32] for name in importance.names[:count]], fontsize=7)
    axis.axvline(0, color="0.7", linewidth=1)
    _save(figure, file)


def _learning(spec: PredictiveSpec, fitted: Fitted, file: Path) -> None:
    """Validation loss by round, and by training rows of the growing folds."""
    figure, (left, right) = _figure(f"{spec.solution}: learning curve", columns=2)
    for fit in fitted.found.best.fits:
        curve: Array = np.asarray(fit.curve)
        left.plot(np.arange(1, len(curve) + 1), curve, linewidth=1, marker="o" if len(curve) == 1 else None)
    left.set_xlabel("round")
    left.set_ylabel("validation loss")
    right.plot(
        [rows for rows, _ in fitted.fold_sizes], [loss for _, loss in fitted.fold_sizes], marker="o", color="#0b6e99"
    )
    right.set_xlabel("training rows")
    _save(figure, file)


def draw_all(
    spec: PredictiveSpec,
    prepared: Prepared,
    fitted: Fitted,
    evaluation: Evaluation,
    importance: Importance,
    folder: Path,
) -> None:
    """Draw calibration, residuals, SHAP summary and learning curve into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _calibration(spec, evaluation, folder / "calibration.png")
    _residuals(spec, prepared, evaluation, folder / "residuals_by_group.png")
    _shap(spec, importance, folder / "shap_summary.png")
    _learning(spec, fitted, folder / "learning_curve.png")
