"""A predictive challenger as a candidate for the registry: its parameters, all trials, figures, pictures, bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.drift.reference import make_reference
from models.evaluation.evaluate import Evaluation
from models.evaluation.plots import draw_all
from models.explain.importance import Importance
from models.fitting import Fitted
from models.prepare import Prepared
from models.registry.candidate import Candidate, Kind
from models.registry.card import model_card
from models.registry.figures import BEST_BASELINE
from models.scoring import boosters, runtime
from models.spec import PredictiveSpec

_KINDS: dict[str, tuple[Kind, pa.DataType]] = {"number": ("double", pa.float64()), "category": ("string", pa.string())}


def candidate_of(
    spec: PredictiveSpec,
    prepared: Prepared,
    fitted: Fitted,
    evaluation: Evaluation,
    importance: Importance,
) -> Candidate:
    """What the registry gets of a training.

    Args:
        spec: the solution.
        prepared: rows and cut.
        fitted: the model.
        evaluation: its figures on the hold-out.
        importance: what it leans on.
    """
    bundle = fitted.scorer.bundle

    def draw(folder: Path) -> None:
        draw_all(spec, prepared, fitted, evaluation, importance, folder / "plots")
        shares = dict(zip(importance.names, importance.shares, strict=True))
        (folder / "importance.json").write_text(json.dumps(shares, indent=1), encoding="utf-8")

    def card(marks: Mapping[str, str]) -> str:
        return model_card(spec, prepared, fitted, evaluation, importance, marks)

    split = prepared.split
    return Candidate(
        kind=spec.task,
        library=fitted.found.best.estimator.library,
        needs=tuple(bundle["libraries"]),
        digest=prepared.frame.digest,
        rows=(prepared.frame.n_rows, prepared.n_learnt + len(split.holdout)),
        columns={
            "features": [f"{f['name']}: {f['kind']}" for f in bundle["features"]],
            "target": spec.target.column,
        },
        inputs={f["name"]: _KINDS[f["kind"]][0] for f in _read(bundle)},
        outputs=_outputs(bundle),
        example=input_example(prepared, bundle),
        runtime=(Path(runtime.__file__), Path(boosters.__file__)),
        write=lambda folder: write_bundle(folder, prepared, fitted, evaluation, importance),
        draw=draw,
        params=_params(spec, prepared, fitted),
        metrics=evaluation.metrics,
        values=_values(evaluation, fitted),
        card=card,
        tags={
            "top_feature": importance.names[0][:200],
            "top_share": f"{importance.shares[0]:.4f}",
            "n_features": str(len(importance.names)),
            BEST_BASELINE: evaluation.best_baseline,
        },
        tables={"trials.json": _trials(fitted)},
    )


def _read(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """Columns that are read, as features of a contract."""
    by_name = {feature["name"]: feature for feature in bundle["features"]}
    return [by_name.get(name, {"name": name, "kind": "number"}) for name in runtime.raw_columns(bundle["features"])]


def _outputs(bundle: dict[str, Any]) -> dict[str, Kind]:
    if bundle["classes"]:
        return {"value": "double", "probability": "double", "class": "string"}
    chance: dict[str, Kind] = {"probability": "double"} if "life" in bundle else {}
    return {"value": "double", "low": "double", "high": "double", **chance}


def _values(evaluation: Evaluation, fitted: Fitted) -> dict[str, float]:
    out = {f"baseline_{name}": value for name, value in evaluation.baseline_metrics.items()}
    return out | {"skill": evaluation.skill, "validation_loss": fitted.found.best.value}


def _params(spec: PredictiveSpec, prepared: Prepared, fitted: Fitted) -> dict[str, Any]:
    found = fitted.found
    return {
        **{f"best_{name}": value for name, value in found.best.params.items()},
        "rounds": found.best.rounds,
        "trials": len(found.trials),
        "members": len(found.members),
        "task": spec.task,
        "seed": spec.search.seed,
        "features": len(fitted.scorer.bundle["features"]),
        "rows_development": prepared.n_learnt,
        "rows_holdout": len(prepared.split.holdout),
        "primary_metric": spec.primary_metric,
    }


def _trials(fitted: Fitted) -> dict[str, list[Any]]:
    """Every trial as one table, which the MLflow page shows as such."""
    rows = [trial.as_row() for trial in fitted.found.trials]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("params", "fold_rounds"):
        columns[name] = [json.dumps(value) for value in columns[name]]
    return columns


def input_example(prepared: Prepared, bundle: dict[str, Any], rows: int = 3) -> pa.Table:
    """A few development rows as the signature wants them: numbers as float64, categories as text."""
    table = prepared.frame.table.take(pa.array(prepared.split.development[:rows]))
    return pa.table({f["name"]: table.column(f["name"]).cast(_KINDS[f["kind"]][1]) for f in _read(bundle)})


def write_bundle(
    folder: Path, prepared: Prepared, fitted: Fitted, evaluation: Evaluation, importance: Importance
) -> None:
    """The files that travel: boosters, contract, drift reference, trials."""
    fitted.save(folder)
    shares = dict(zip(importance.names, importance.shares, strict=True))
    reference = make_reference(
        fitted.scorer.bundle["features"],
        fitted.x_development,
        evaluation.outputs.finished["value"],
        shares,
        in_order=prepared.frame.time is not None,
    )
    (folder / "reference.json").write_text(json.dumps(reference), encoding="utf-8")
    (folder / "trials.json").write_text(json.dumps([trial.as_row() for trial in fitted.found.trials]), encoding="utf-8")
