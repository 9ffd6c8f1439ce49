"""What a version's run logged of it, as a night's row shows it."""

from __future__ import annotations

from typing import Any

from models.context import ModelContext
from models.registry.client import open_client
from models.solution import SolutionSpec

BEST_BASELINE = "best_baseline"
"""Tag of a version: the naive baseline with the least loss, which its gate compared it with."""


def version_figures(spec: SolutionSpec, ctx: ModelContext, version: str) -> dict[str, Any]:
    """A version's primary metric and best naive baseline as its run logged them, as columns of a night's row.

    Returns:
        `metric_name`, `metric_value`, `metric_low`, `metric_high`, `baseline_name`, `baseline_value`; None where the
        run logged nothing.

    Raises:
        mlflow.exceptions.MlflowException: there is no such version.
    """
    client = open_client(ctx)
    registered = client.get_model_version(spec.name, version)
    metrics = client.get_run(str(registered.run_id)).data.metrics
    name, best = spec.primary_metric, registered.tags.get(BEST_BASELINE)
    return {
        "metric_name": name,
        "metric_value": metrics.get(name),
        "metric_low": metrics.get(f"{name}_low"),
        "metric_high": metrics.get(f"{name}_high"),
        "baseline_name": best,
        "baseline_value": metrics.get(f"baseline_{best}"),
    }
