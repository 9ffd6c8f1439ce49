"""What the registry and the lake know of one solution: the model's part of `cellworks status`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from models.context import ModelContext
from models.registry.client import open_client
from models.registry.versions import aliases, all_versions, champion, verdict_files
from models.scoring.table import has_table, relation
from models.spec import PredictiveSpec
from pipelines.lake.connection import reader


def _figures(client: Any, spec: PredictiveSpec, run_id: str) -> dict[str, Any]:
    """Primary metric with interval, and the best naive baseline, as the run logged them."""
    metrics = client.get_run(run_id).data.metrics
    name = spec.primary_metric
    naive = {key.removeprefix("baseline_"): value for key, value in metrics.items() if key.startswith("baseline_")}
    higher = name in ("roc_auc", "average_precision", "macro_f1", "accuracy", "f1", "r2")
    best = (max if higher else min)(naive, key=lambda key: float(naive[key])) if naive else None
    return {
        "metric": {
            "name": name,
            "value": metrics.get(name),
            "low": metrics.get(f"{name}_low"),
            "high": metrics.get(f"{name}_high"),
        },
        "baseline": {"name": best, "value": naive.get(best) if best else None},
    }


def version_figures(spec: PredictiveSpec, ctx: ModelContext, version: str) -> dict[str, Any]:
    """A version's primary metric and best naive baseline as its run logged them, as columns of a night's row.

    Raises:
        mlflow.exceptions.MlflowException: there is no such version.
    """
    client = open_client(ctx)
    found = _figures(client, spec, str(client.get_model_version(spec.name, version).run_id))
    return {f"{part}_{name}": value for part, each in found.items() for name, value in each.items()}


def _scored(ctx: ModelContext, spec: PredictiveSpec) -> dict[str, Any]:
    """Newest scoring and rows in the solution's table."""
    if not ctx.home.catalogue.is_file():
        return {"last_scored": None, "rows_scored": 0}
    with reader(ctx.home) as con:
        if not has_table(con, "solutions", spec.slug):
            return {"last_scored": None, "rows_scored": 0}
        row = con.execute(f"SELECT count(*), max(scored_at) FROM {relation(spec.slug)}").fetchone()
    if row is None:
        return {"last_scored": None, "rows_scored": 0}
    return {"last_scored": row[1].isoformat() if row[1] else None, "rows_scored": int(row[0])}


def solution_status(spec: PredictiveSpec, ctx: ModelContext) -> dict[str, Any]:
    """Champion, figures, times and the newest verdict of a solution.

    Returns:
        `champion_version, metric{name,value,low,high}, baseline{name,value}, last_trained, last_scored, rows_scored,
        aliases, verdict{version,status,reason}, alarm`; None where there is nothing yet. Figures are the champion's,
        else the newest version's.
    """
    client = open_client(ctx)
    versions = all_versions(client, spec.name)
    reigning = champion(ctx.home, spec.name, client=client)
    acting = reigning.version if reigning else None
    out: dict[str, Any] = {
        "champion_version": acting.number if acting else None,
        "alarm": reigning.alarm if reigning else None,
        "metric": {"name": spec.primary_metric, "value": None, "low": None, "high": None},
        "baseline": {"name": None, "value": None},
        "last_trained": None,
        "aliases": aliases(client, spec.name),
        "verdict": None,
        **_scored(ctx, spec),
    }
    if not versions:
        return out
    newest = versions[0]
    run_id = acting.run_id if acting else newest.run_id
    trained = datetime.fromtimestamp(newest.creation_timestamp / 1000, tz=UTC).replace(tzinfo=None)
    verdict = {
        "version": str(newest.version),
        "status": newest.tags.get("verdict"),
        "reason": newest.tags.get("verdict_reason", "not judged yet"),
    }
    return out | _figures(client, spec, run_id) | {"last_trained": trained.isoformat(), "verdict": verdict}


def verdict_figures(spec: PredictiveSpec, ctx: ModelContext, version: str) -> dict[str, Any] | None:
    """The newest stored verdict of a version with every gate's figures; None when it was never judged."""
    client = open_client(ctx)
    run_id = str(client.get_model_version(spec.name, version).run_id)
    names = verdict_files(client, run_id, version)
    if not names:
        return None
    import mlflow

    text = mlflow.artifacts.load_text(f"runs:/{run_id}/{names[-1]}")
    found: dict[str, Any] = json.loads(text)
    return found
