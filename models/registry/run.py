"""One training as one MLflow run: opened with its snapshot held, closed with what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from models.context import ModelContext
from models.registry.client import experiment_id
from models.registry.published import hold_snapshot, is_published, let_go
from models.solution import SolutionSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.files import OWN_COPY, file_suffix
from pipelines.lake.redaction import Redaction


@dataclass(frozen=True)
class TrainingRun:
    """An open run: the client, its experiment and its number."""

    client: Any
    experiment: str
    run_id: str


@contextmanager
def training_run(client: Any, spec: SolutionSpec, ctx: ModelContext) -> Iterator[TrainingRun]:
    """A run that ends FINISHED, or FAILED with the reason; the snapshot is held for the version that comes of it.

    Args:
        client: MLflow's client.
        spec: the solution.
        ctx: its mode and actor are written on the run.

    Raises:
        CellworksError: MLflow goes away in the middle.
    """
    with told_failures(spec):
        experiment = experiment_id(client, ctx, spec.solution)
        _close_abandoned(client, ctx, experiment)
        tags = {
            "solution": spec.solution,
            "mode": ctx.mode,
            "mlflow.user": ctx.actor,
            "mlflow.source.name": "cellworks",
        }
        run_id = str(client.create_run(experiment, tags=tags, run_name=f"{spec.slug}-{ctx.mode}").info.run_id)
        try:
            with hold_snapshot(ctx, spec, run_id):
                yield TrainingRun(client, experiment, run_id)
        except BaseException as error:
            client.set_tag(run_id, "failure", Redaction()(str(error))[:4000] or type(error).__name__)
            client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        client.set_terminated(run_id, "FINISHED")


@contextmanager
def told_failures(spec: SolutionSpec) -> Iterator[None]:
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


def input_tags(spec: SolutionSpec, ctx: ModelContext) -> dict[str, str]:
    """Whether what is learnt from was published and passed its expectations; the gates read it again later."""
    if file_suffix(spec.table) is not None:
        return {"inputs": "file", "inputs_passed": str(ctx.inputs_passed).lower()}
    state = "unpublished"
    if is_published(ctx, spec.domain):
        state = "own_table" if spec.table.startswith(OWN_COPY) else "published"
    return {"inputs": state, "inputs_passed": str(ctx.inputs_passed).lower()}
