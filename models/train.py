"""Training from table to registered challenger. No Dagster, no gates: judging is `models.gates`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from models.context import ModelContext
from models.evaluation.bootstrap import Interval
from models.evaluation.evaluate import Evaluation, evaluate
from models.explain.importance import Importance, importance
from models.fitting import Fitted, History, fit
from models.prepare import Prepared, prepare
from models.registry.client import experiment_id, open_client
from models.registry.figures import BEST_BASELINE
from models.registry.log import log_figures, log_model, log_pictures, log_trials, register, stamps
from models.registry.published import hold_snapshot, is_published, let_go
from models.registry.versions import Version, aliases, all_versions, get_version
from models.spec import PredictiveSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.files import OWN_COPY, file_suffix


@dataclass
class TrainingResult:
    """A trained and registered challenger.

    Attributes:
        name: `<stage>.<slug>`.
        version: Version number in the registry.
        run_id: MLflow run.
        library: Library that won.
        mode: `search`, or `refit` when there was a version to start from.
        trials: Trials made.
        params: The winner's parameters.
        rows_development: Rows learnt from.
        rows_holdout: Later rows it is judged on.
        features: Features in the contract.
        dropped: Columns left out, with reasons.
        primary: Name of the primary metric.
        metrics: Each metric on the hold-out with its interval.
        baselines: Primary metric of each naive baseline.
        seconds: Wall seconds by phase and `total`.
        notes: Remarks.
        prepared, fitted, evaluation, importance: What judging would otherwise have to read again.
    """

    name: str
    version: str
    run_id: str
    library: str
    mode: str
    trials: int
    params: dict[str, Any]
    rows_development: int
    rows_holdout: int
    features: int
    dropped: dict[str, str]
    primary: str
    metrics: dict[str, Interval]
    baselines: dict[str, float]
    best_baseline: str
    seconds: dict[str, float]
    notes: list[str]
    prepared: Prepared = field(repr=False)
    fitted: Fitted = field(repr=False)
    evaluation: Evaluation = field(repr=False)
    importance: Importance = field(repr=False)
    registered: Version = field(repr=False)


class _Clock:
    """Wall seconds of the phases."""

    def __init__(self) -> None:
        self.begun = self.last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End a phase."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 3)
        self.last = now
        self.seconds["total"] = round(now - self.begun, 3)


def history_of(client: Any, name: str) -> History | None:
    """What the champion, or else the newest version, leaves to a refit; None for a first version."""
    number = aliases(client, name).get("champion")
    if number is None:
        versions = all_versions(client, name)
        number = str(versions[0].version) if versions else None
    if number is None:
        return None
    version = get_version(client, name, number)
    record = json.loads((version.bundle / "bundle.json").read_text(encoding="utf-8"))["record"]
    trials = json.loads((version.bundle / "trials.json").read_text(encoding="utf-8"))
    return History(record["library"], record["best_by_library"], trials)


def _close_abandoned(client: Any, ctx: ModelContext, experiment: str) -> None:
    """End the runs whose process was killed, or lost MLflow, and let go of the snapshots they held.

    One solution is trained by one process at a time; should two meet after all, the other one's own end comes later
    and stands.
    """
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        run_id = str(run.info.run_id)
        client.set_tag(run_id, "failure", "it ended without a word: killed, or MLflow was away")
        client.set_terminated(run_id, "KILLED")
        if not client.search_model_versions(f"run_id = '{run_id}'"):
            let_go(ctx, run_id)


@contextmanager
def _run(client: Any, spec: PredictiveSpec, ctx: ModelContext) -> Iterator[tuple[str, str]]:
    """An MLflow run that ends FINISHED, or FAILED with the reason."""
    experiment = experiment_id(client, ctx, spec.solution)
    _close_abandoned(client, ctx, experiment)
    tags = {"solution": spec.solution, "mode": ctx.mode, "mlflow.user": ctx.actor, "mlflow.source.name": "cellworks"}
    run_id = str(client.create_run(experiment, tags=tags, run_name=f"{spec.slug}-{ctx.mode}").info.run_id)
    try:
        yield experiment, run_id
    except BaseException as error:
        client.set_tag(run_id, "failure", str(error)[:4000] or type(error).__name__)
        client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    client.set_terminated(run_id, "FINISHED")


def _input_tags(spec: PredictiveSpec, ctx: ModelContext) -> dict[str, str]:
    """Whether what is learnt from was published and passed its expectations; the gates read it again later."""
    if file_suffix(spec.table) is not None:
        return {"inputs": "file", "inputs_passed": str(ctx.inputs_passed).lower()}
    state = "unpublished"
    if is_published(ctx, spec.domain):
        state = "own_table" if spec.table.startswith(OWN_COPY) else "published"
    return {"inputs": state, "inputs_passed": str(ctx.inputs_passed).lower()}


def train(spec: PredictiveSpec, ctx: ModelContext) -> TrainingResult:
    """Train, evaluate, log and register a challenger.

    Args:
        spec: the solution.
        ctx: where, as of when, with how many threads, and whether to search or refit.

    Returns:
        The registered challenger with its figures. Nothing is promoted.

    Raises:
        CellworksError: MLflow does not answer (before anything is read), or the table cannot be learnt from.
    """
    client = open_client(ctx)
    with _as_error(spec):
        history = history_of(client, spec.name) if ctx.mode == "refit" else None
        # Without anything to start from a refit is a search, and is called one.
        ctx = ctx if history is not None else ctx.with_mode("search")
        with _run(client, spec, ctx) as (experiment, run_id), hold_snapshot(ctx, spec, run_id):
            return _train(client, (experiment, run_id), spec, ctx, history)


@contextmanager
def _as_error(spec: PredictiveSpec) -> Iterator[None]:
    """MLflow that goes away in the middle is told as what it is."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise CellworksError(
            "MLflow failed during training",
            expected="a tracking store that stays up until the run is logged",
            found=str(error).splitlines()[0][:300],
            mend="bring MLflow back and run again; the lake is unchanged",
            where=spec.solution,
        ) from error


def _train(
    client: Any, place: tuple[str, str], spec: PredictiveSpec, ctx: ModelContext, history: History | None
) -> TrainingResult:
    experiment, run_id = place
    clock = _Clock()
    prepared = prepare(spec, ctx)
    clock.lap("read")
    fitted = fit(spec, ctx, prepared, history)
    clock.lap("fit")
    evaluation = evaluate(spec, prepared, fitted.scorer, prepared.split.holdout)
    matter = importance(fitted.scorer, fitted.x_development, spec.search.seed)
    clock.lap("evaluate")
    tags = stamps(ctx, prepared) | _input_tags(spec, ctx)
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    log_figures(client, run_id, spec, ctx, prepared, fitted, evaluation)
    log_trials(client, run_id, fitted)
    card = log_pictures(client, run_id, spec, prepared, fitted, evaluation, matter, tags)
    model_id = log_model(client, experiment, run_id, spec, prepared, fitted, evaluation, matter)
    tags |= {
        "top_feature": matter.names[0][:200],
        "top_share": f"{matter.shares[0]:.4f}",
        "n_features": str(len(matter.names)),
        BEST_BASELINE: evaluation.best_baseline,
    }
    version = register(client, spec, run_id, model_id, card, tags)
    clock.lap("log")
    return TrainingResult(
        name=spec.name,
        version=version.number,
        run_id=run_id,
        library=fitted.found.best.estimator.library,
        mode=ctx.mode,
        trials=len(fitted.found.trials),
        params=fitted.found.best.params,
        rows_development=len(prepared.split.development),
        rows_holdout=len(prepared.split.holdout),
        features=len(fitted.scorer.bundle["features"]),
        dropped=fitted.dropped,
        primary=spec.primary_metric,
        metrics=evaluation.metrics,
        baselines=evaluation.baseline_metrics,
        best_baseline=evaluation.best_baseline,
        seconds=clock.seconds,
        notes=fitted.notes,
        prepared=prepared,
        fitted=fitted,
        evaluation=evaluation,
        importance=matter,
        registered=version,
    )
