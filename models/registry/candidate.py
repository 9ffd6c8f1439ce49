"""A challenger of any family into MLflow: parameters, figures, data set, pictures, model folder, version."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from models.context import ModelContext
from models.evaluation.bootstrap import Interval
from models.registry.contents import tags_of, write_own_list
from models.registry.provenance import code_revision, lock_hash, pip_requirements
from models.registry.run import TrainingRun, input_tags
from models.registry.versions import Version, get_version
from models.solution import SolutionSpec
from pipelines.lake.files import file_suffix

_ENTRY = Path(__file__).with_name("pyfunc_model.py")
Kind = Literal["double", "string", "boolean", "datetime"]


@dataclass(frozen=True)
class Candidate:
    """What a family has made and wants registered.

    Attributes:
        kind: Kind of model, as the registry shows it.
        library: What it was made with.
        needs: Libraries that answering needs beside numpy and Arrow; their locked versions go along.
        digest: Content of the data it saw.
        rows: Rows of the table, and how many of them it was learnt from or judged on.
        columns: Columns read, as the data set's schema.
        inputs: Columns that the model needs, by name.
        outputs: Columns that it answers.
        example: A few rows as the inputs say.
        runtime: Sources that predict from the bundle alone and are copied into it: `runtime.py`, whose `Scorer` has
            `load` and `predict`, and those that it imports as lying beside it.
        write: Writes the bundle's files into a folder.
        draw: Writes pictures and tables for people into a folder.
        params: Parameters, shown as text.
        metrics: Figures on the hold-out with their intervals.
        values: Further figures without one; what is no number is not logged.
        tables: Tables by file name, such as all trials.
        card: The model card, given the version's marks.
        tags: Marks of the version beside those of every version.
    """

    kind: str
    library: str
    needs: tuple[str, ...]
    digest: str
    rows: tuple[int, int]
    columns: Mapping[str, Any]
    inputs: Mapping[str, Kind]
    outputs: Mapping[str, Kind]
    example: pa.Table
    runtime: tuple[Path, ...]
    write: Callable[[Path], None]
    draw: Callable[[Path], None]
    params: Mapping[str, Any]
    metrics: Mapping[str, Interval]
    values: Mapping[str, float]
    card: Callable[[Mapping[str, str]], str]
    tags: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)


def register_candidate(run: TrainingRun, spec: SolutionSpec, ctx: ModelContext, candidate: Candidate) -> Version:
    """Log a candidate in its run and register it as a new version with the alias `challenger`.

    Args:
        run: the open training run.
        spec: the solution.
        ctx: snapshot, plan and mode.
        candidate: what was made.

    Returns:
        The new version.
    """
    client, run_id = run.client, run.run_id
    marks = _stamps(ctx, candidate) | input_tags(spec, ctx)
    for key, value in marks.items():
        client.set_tag(run_id, key, value)
    _log_figures(run, spec, ctx, candidate)
    for name, columns in candidate.tables.items():
        client.log_table(run_id, dict(columns), name)
    card = candidate.card(marks)
    with tempfile.TemporaryDirectory() as place:
        candidate.draw(Path(place))
        (Path(place) / "model_card.md").write_text(card, encoding="utf-8")
        client.log_artifacts(run_id, place)
    model_id, files = _log_model(run, spec, ctx, candidate)
    number = _register(client, spec, (run_id, model_id), card, {**marks, **candidate.tags, **files})
    return get_version(client, spec.name, number, ctx.home)


def _stamps(ctx: ModelContext, candidate: Candidate) -> dict[str, str]:
    """What the run stands on, as tags."""
    return {
        "lake_snapshot": "" if ctx.snapshot is None else str(ctx.snapshot),
        "data_digest": candidate.digest,
        "plan_hash": ctx.plan_hash,
        "code_revision": code_revision(),
        "lock_hash": lock_hash(),
    }


def _log_figures(run: TrainingRun, spec: SolutionSpec, ctx: ModelContext, candidate: Candidate) -> None:
    """Parameters, metrics and the data set of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    now = int(time.time() * 1000)
    figures: dict[str, float] = {}
    for name, figure in candidate.metrics.items():
        figures |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    figures |= candidate.values
    figures = {name: float(value) for name, value in figures.items() if not math.isnan(value)}
    params = {**candidate.params, "library": candidate.library, "mode": ctx.mode, "n_threads": ctx.n_threads}
    run.client.log_batch(
        run.run_id,
        [Metric(name, value, now, 0) for name, value in figures.items()],
        [Param(name, str(value)[:500]) for name, value in params.items()],
    )
    named, used = candidate.rows
    source = {"tables": spec.tables, "snapshot": ctx.snapshot}
    data = Dataset(
        name=spec.table[-450:],
        digest=candidate.digest[:36],
        source_type="ducklake" if file_suffix(spec.table) is None else "file",
        source=json.dumps(source),
        schema=json.dumps(candidate.columns)[:60_000],
        profile=json.dumps({"rows": named, "labelled": used}),
    )
    run.client.log_inputs(run.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def _log_model(
    run: TrainingRun, spec: SolutionSpec, ctx: ModelContext, candidate: Candidate
) -> tuple[str, dict[str, str]]:
    """Log the model in the run; returns the logged model's id, and the tags that say what its files are."""
    from mlflow.entities import LoggedModelOutput

    logged = run.client.create_logged_model(
        run.experiment,
        name=spec.slug,
        source_run_id=run.run_id,
        model_type=candidate.kind,
        params={"library": candidate.library},
    )
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        bundle = place / "bundle"
        bundle.mkdir()
        candidate.write(bundle)
        for source in candidate.runtime:
            shutil.copy(source, bundle / source.name)
        write_own_list(bundle)
        folder = _save_pyfunc(place, bundle, candidate, (run.run_id, logged.model_id))
        files = tags_of(ctx.home, spec.name, run.run_id, folder)
        run.client.log_model_artifacts(logged.model_id, str(folder))
    run.client.finalize_logged_model(logged.model_id, "READY")
    run.client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, 0)])
    return str(logged.model_id), files


def _save_pyfunc(place: Path, bundle: Path, candidate: Candidate, numbers: tuple[str, str]) -> Path:
    """MLflow's model folder: code, bundle, signature, example, requirements; nothing pickled, no machine path."""
    folder = place / "model"
    run_id, model_id = numbers
    with warnings.catch_warnings():
        # MLflow warns of its own type hints, and compares column names in a way that pandas 4 will change.
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        from mlflow.models import Model

        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(_ENTRY),
            artifacts={"bundle": str(bundle)},
            signature=_signature(candidate),
            input_example=candidate.example.to_pandas(),
            pip_requirements=pip_requirements(*candidate.needs),
            mlflow_model=Model(run_id=run_id, model_id=model_id),
        )
    saved = Model.load(str(folder))
    flavor = saved.flavors["python_function"]
    flavor.pop("cloudpickle_version", None)
    flavor["artifacts"]["bundle"]["uri"] = "bundle"
    flavor["model_code_path"] = _ENTRY.name
    saved.save(str(folder / "MLmodel"))
    return folder


def _signature(candidate: Candidate) -> Any:
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = [ColSpec(kind, name, required=False) for name, kind in candidate.inputs.items()]
    outputs = [ColSpec(kind, name) for name, kind in candidate.outputs.items()]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _register(client: Any, spec: SolutionSpec, numbers: tuple[str, str], card: str, tags: Mapping[str, str]) -> str:
    """Register a logged model as a new version with the alias `challenger`; returns its number."""
    from mlflow.exceptions import MlflowException

    run_id, model_id = numbers
    try:
        client.create_registered_model(spec.name, tags={"solution": spec.solution}, description=spec.question)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        spec.name,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags=dict(tags),
        description=card[:4900],
    )
    client.set_registered_model_alias(spec.name, "challenger", made.version)
    return str(made.version)
