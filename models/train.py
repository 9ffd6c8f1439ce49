"""Training from table to registered challenger. No Dagster, no gates: judging is `models.gates`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.context import ModelContext
from models.evaluation.bootstrap import Interval
from models.evaluation.evaluate import Evaluation, evaluate
from models.explain.importance import Importance, importance
from models.fitting import Fitted, History, fit
from models.prepare import Prepared, prepare
from models.registry.candidate import register_candidate
from models.registry.client import open_client
from models.registry.contents import UntrustedFilesError
from models.registry.log import candidate_of
from models.registry.run import TrainingRun, told_failures, training_run
from models.registry.versions import Version, aliases, all_versions, get_version
from models.scoring.runtime import Array, Scorer
from models.spec import PredictiveSpec
from pipelines.lake.home import Home


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


def history_of(client: Any, name: str, home: Home) -> History | None:
    """What the champion, or else the newest version, leaves to a refit; None for a first version.

    Raises:
        UntrustedFilesError: its files are not those that were registered.
    """
    number = aliases(client, name).get("champion")
    if number is None:
        versions = all_versions(client, name)
        number = str(versions[0].version) if versions else None
    if number is None:
        return None
    bundle = get_version(client, name, number, home).bundle
    record = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))["record"]
    trials = json.loads((bundle / "trials.json").read_text(encoding="utf-8"))
    return History(record["library"], record["best_by_library"], trials)


@dataclass(frozen=True)
class Steps:
    """What a family that learns from rows does in its own way; the rest of a training is the same for all.

    Attributes:
        prepare: Reads and checks the rows and cuts the hold-out; the columns are a contract's, or None.
        fit: Learns on the development rows.
        evaluate: Figures on rows that were not learnt from.
    """

    prepare: Callable[[PredictiveSpec, ModelContext, list[str] | None], Prepared]
    fit: Callable[[PredictiveSpec, ModelContext, Prepared, History | None], Fitted]
    evaluate: Callable[[PredictiveSpec, Prepared, Scorer, Array], Evaluation]


PREDICTIVE = Steps(prepare, fit, evaluate)


def train(spec: PredictiveSpec, ctx: ModelContext, steps: Steps = PREDICTIVE) -> TrainingResult:
    """Train, evaluate, log and register a challenger.

    Args:
        spec: the solution.
        ctx: where, as of when, with how many threads, and whether to search or refit.
        steps: the family's own.

    Returns:
        The registered challenger with its figures. Nothing is promoted.

    Raises:
        CellworksError: MLflow does not answer (before anything is read), or the table cannot be learnt from.
    """
    client = open_client(ctx)
    history, told = None, []
    with told_failures(spec):
        try:
            history = history_of(client, spec.name, ctx.home) if ctx.mode == "refit" else None
        except UntrustedFilesError as error:  # what is learnt anew mends it
            told = [f"searched from the start: {error.what}"]
    # Without anything to start from a refit is a search, and is called one.
    ctx = ctx if history is not None else ctx.with_mode("search")
    with training_run(client, spec, ctx) as run:
        return _train(run, spec, ctx, steps, history, told)


def _train(
    run: TrainingRun, spec: PredictiveSpec, ctx: ModelContext, steps: Steps, history: History | None, told: list[str]
) -> TrainingResult:
    clock = _Clock()
    prepared = steps.prepare(spec, ctx, None)
    clock.lap("read")
    fitted = steps.fit(spec, ctx, prepared, history)
    clock.lap("fit")
    evaluation = steps.evaluate(spec, prepared, fitted.scorer, prepared.split.holdout)
    matter = importance(fitted.scorer, fitted.x_development, spec.search.seed)
    clock.lap("evaluate")
    made = candidate_of(spec, prepared, fitted, evaluation, matter)
    version = register_candidate(run, spec, ctx, made)
    clock.lap("log")
    return TrainingResult(
        name=spec.name,
        version=version.number,
        run_id=run.run_id,
        library=fitted.found.best.estimator.library,
        mode=ctx.mode,
        trials=len(fitted.found.trials),
        params=fitted.found.best.params,
        rows_development=prepared.n_learnt,
        rows_holdout=len(prepared.split.holdout),
        features=len(fitted.scorer.bundle["features"]),
        dropped=fitted.dropped,
        primary=spec.primary_metric,
        metrics=evaluation.metrics,
        baselines=evaluation.baseline_metrics,
        best_baseline=evaluation.best_baseline,
        seconds=clock.seconds,
        notes=[*told, *fitted.notes],
        prepared=prepared,
        fitted=fitted,
        evaluation=evaluation,
        importance=matter,
        registered=version,
    )
