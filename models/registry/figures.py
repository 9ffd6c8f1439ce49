"""What a version's run logged of it, as a night's row shows it."""

from __future__ import annotations

from typing import Any

from models.context import ModelContext
from models.registry.client import open_client
from models.spec import PredictiveSpec

_HIGHER_IS_BETTER = ("roc_auc", "average_precision", "macro_f1", "accuracy", "f1", "r2")


def version_figures(spec: PredictiveSpec, ctx: ModelContext, version: str) -> dict[str, Any]:
    """A version's primary metric and best naive baseline as its run logged them, as columns of a night's row.

    Returns:
        `metric_name`, `metric_value`, `metric_low`, `metric_high`, `baseline_name`, `baseline_value`; None where the
        run logged nothing.

    Raises:
        mlflow.exceptions.MlflowException: there is no such version.
    """
    client = open_client(ctx)
    metrics = client.get_run(str(client.get_model_version(spec.name, version).run_id)).data.metrics
    name = spec.primary_metric
    naive = {key.removeprefix("baseline_"): value for key, value in metrics.items() if key.startswith("baseline_")}
    choose = max if name in _HIGHER_IS_BETTER else min
    best = choose(naive, key=lambda key: float(naive[key])) if naive else None
    return {
        "metric_name": name,
        "metric_value": metrics.get(name),
        "metric_low": metrics.get(f"{name}_low"),
        "metric_high": metrics.get(f"{name}_high"),
        "baseline_name": best,
        "baseline_value": naive.get(best) if best else None,
    }
