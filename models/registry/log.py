"""One training as one MLflow run: parameters, all trials as one table, figures, pictures, data, model, card."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from models.context import ModelContext
from models.drift.reference import make_reference
from models.evaluation.evaluate import Evaluation
from models.evaluation.plots import draw_all
from models.explain.importance import Importance
from models.fitting import Fitted
from models.prepare import Prepared
from models.registry.card import model_card
from models.registry.provenance import code_revision, lock_hash, pip_requirements
from models.registry.versions import Version, get_version
from models.scoring import runtime
from models.spec import PredictiveSpec
from pipelines.lake.files import file_suffix

_ENTRY = Path(__file__).with_name("pyfunc_model.py")


def stamps(ctx: ModelContext, prepared: Prepared) -> dict[str, str]:
    """What the run stands on, as tags."""
    return {
        "lake_snapshot": "" if ctx.snapshot is None else str(ctx.snapshot),
        "data_digest": prepared.frame.digest,
        "plan_hash": ctx.plan_hash,
        "code_revision": code_revision(),
        "lock_hash": lock_hash(),
    }


def _metrics(evaluation: Evaluation, fitted: Fitted) -> dict[str, float]:
    out: dict[str, float] = {}
    for name, figure in evaluation.metrics.items():
        out |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    out |= {f"baseline_{name}": value for name, value in evaluation.baseline_metrics.items()}
    out |= {"skill": evaluation.skill, "validation_loss": fitted.found.best.value}
    return {name: float(value) for name, value in out.items() if value == value}  # noqa: PLR0124 - NaN is not logged


def _params(spec: PredictiveSpec, ctx: ModelContext, fitted: Fitted, prepared: Prepared) -> dict[str, str]:
    found = fitted.found
    out: dict[str, Any] = {f"best_{name}": value for name, value in found.best.params.items()}
    out |= {
        "library": found.best.estimator.library,
        "rounds": found.best.rounds,
        "trials": len(found.trials),
        "members": len(found.members),
        "mode": ctx.mode,
        "task": spec.task,
        "seed": spec.search.seed,
        "n_threads": ctx.n_threads,
        "features": len(fitted.scorer.bundle["features"]),
        "rows_development": len(prepared.split.development),
        "rows_holdout": len(prepared.split.holdout),
        "primary_metric": spec.primary_metric,
    }
    return {name: str(value)[:500] for name, value in out.items()}


def log_figures(
    client: Any,
    run_id: str,
    spec: PredictiveSpec,
    ctx: ModelContext,
    prepared: Prepared,
    fitted: Fitted,
    evaluation: Evaluation,
) -> None:
    """Parameters, metrics and the data set of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    now = int(time.time() * 1000)
    params = [Param(name, value) for name, value in _params(spec, ctx, fitted, prepared).items()]
    client.log_batch(run_id, [Metric(n, v, now, 0) for n, v in _metrics(evaluation, fitted).items()], params)
    schema = {
        "features": [f"{f['name']}: {f['kind']}" for f in fitted.scorer.bundle["features"]],
        "target": spec.target.column,
    }
    profile = {"rows": prepared.frame.n_rows, "labelled": len(prepared.split.development) + len(prepared.split.holdout)}
    snapshot = {"table": spec.table, "label_table": spec.target.table, "snapshot": ctx.snapshot}
    data = Dataset(
        name=spec.table[-450:],
        digest=prepared.frame.digest[:36],
        source_type="ducklake" if file_suffix(spec.table) is None else "file",
        source=json.dumps(snapshot),
        schema=json.dumps(schema)[:60_000],
        profile=json.dumps(profile),
    )
    client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def log_trials(client: Any, run_id: str, fitted: Fitted) -> None:
    """Every trial as one table, which the MLflow page shows as such."""
    rows = [trial.as_row() for trial in fitted.found.trials]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("params", "fold_rounds"):
        columns[name] = [json.dumps(value) for value in columns[name]]
    client.log_table(run_id, columns, "trials.json")


def log_pictures(
    client: Any,
    run_id: str,
    spec: PredictiveSpec,
    prepared: Prepared,
    fitted: Fitted,
    evaluation: Evaluation,
    importance: Importance,
    marks: dict[str, str],
) -> str:
    """Pictures and the model card; returns the card."""
    card = model_card(spec, prepared, fitted, evaluation, importance, marks)
    with tempfile.TemporaryDirectory() as place:
        draw_all(spec, prepared, fitted, evaluation, importance, Path(place) / "plots")
        (Path(place) / "model_card.md").write_text(card, encoding="utf-8")
        shares = dict(zip(importance.names, importance.shares, strict=True))
        (Path(place) / "importance.json").write_text(json.dumps(shares, indent=1), encoding="utf-8")
        client.log_artifacts(run_id, place)
    return card


def _signature(bundle: dict[str, Any]) -> Any:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = [
        ColSpec("double" if f["kind"] == "number" else "string", f["name"], required=False)
        for f in bundle["features"]
        if f["kind"] != "built"
    ]
    names = ["value", "probability"] if bundle["classes"] else ["value", "low", "high"]
    outputs = [ColSpec("double", name) for name in names] + ([ColSpec("string", "class")] if bundle["classes"] else [])
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def input_example(prepared: Prepared, bundle: dict[str, Any], rows: int = 3) -> Any:
    """A few development rows as the signature wants them: numbers as float64, categories as text."""
    import pyarrow as pa

    table = prepared.frame.table.take(pa.array(prepared.split.development[:rows]))
    kinds = {"number": pa.float64(), "category": pa.string()}
    read = [f for f in bundle["features"] if f["kind"] != "built"]
    columns = {f["name"]: table.column(f["name"]).cast(kinds[f["kind"]]) for f in read}
    return pa.table(columns).to_pandas()


def write_bundle(
    folder: Path, prepared: Prepared, fitted: Fitted, evaluation: Evaluation, importance: Importance
) -> None:
    """The folder that travels: boosters, contract, drift reference, trials, and the runtime's own source."""
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
    shutil.copy(Path(runtime.__file__), folder / "runtime.py")


def _save_pyfunc(
    place: Path, bundle_folder: Path, prepared: Prepared, bundle: dict[str, Any], run_id: str, model_id: str
) -> Path:
    """MLflow's model folder: code, bundle, signature, example, requirements; nothing pickled, no machine path."""
    folder = place / "model"
    with warnings.catch_warnings():
        # MLflow warns of its own type hints, and compares column names in a way that pandas 4 will change.
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        from mlflow.models import Model

        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(_ENTRY),
            artifacts={"bundle": str(bundle_folder)},
            signature=_signature(bundle),
            input_example=input_example(prepared, bundle),
            pip_requirements=pip_requirements(*bundle["libraries"]),
            mlflow_model=Model(run_id=run_id, model_id=model_id),
        )
    saved = Model.load(str(folder))
    flavor = saved.flavors["python_function"]
    flavor.pop("cloudpickle_version", None)
    flavor["artifacts"]["bundle"]["uri"] = "bundle"
    flavor["model_code_path"] = _ENTRY.name
    saved.save(str(folder / "MLmodel"))
    return folder


def log_model(
    client: Any,
    experiment: str,
    run_id: str,
    spec: PredictiveSpec,
    prepared: Prepared,
    fitted: Fitted,
    evaluation: Evaluation,
    importance: Importance,
) -> str:
    """Log the model in the run; returns the logged model's id."""
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(
        experiment,
        name=spec.slug,
        source_run_id=run_id,
        model_type=spec.task,
        params={"library": fitted.found.best.estimator.library},
    )
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_bundle(place / "bundle", prepared, fitted, evaluation, importance)
        folder = _save_pyfunc(place, place / "bundle", prepared, fitted.scorer.bundle, run_id, logged.model_id)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return str(logged.model_id)


def register(client: Any, spec: PredictiveSpec, run_id: str, model_id: str, card: str, tags: dict[str, str]) -> Version:
    """Register a logged model as a new version with the alias `challenger`."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(spec.name, tags={"solution": spec.solution}, description=spec.question)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        spec.name, source=f"models:/{model_id}", run_id=run_id, model_id=model_id, tags=tags, description=card[:4900]
    )
    client.set_registered_model_alias(spec.name, "challenger", made.version)
    return get_version(client, spec.name, str(made.version))
