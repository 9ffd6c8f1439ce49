"""The site's retention carried out on lake, MLflow and Dagster's storage, or only told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from models.registry.published import snapshots_of_versions
from models.registry.retention import OldTraining, let_training_go, old_training
from models.tuning.shared import board_of, old_studies
from models.tuning.shared import prune as delete_studies
from orchestration.plant import Plant
from orchestration.retention.runs import OldRuns, let_runs_go, old_runs
from orchestration.whose import Ours
from pipelines.actions.decide import versions_waiting
from pipelines.lake.connection import reader
from pipelines.lake.maintenance import expirable, maintain

if TYPE_CHECKING:
    from dagster import DagsterInstance


def what_would_go(here: Plant, instance: DagsterInstance) -> dict[str, Any]:
    """What `prune` would let go now; nothing is changed.

    Args:
        here: the plant, whose site says what is kept.
        instance: Dagster's.

    Returns:
        versions (model, version, trained_at), training_runs (how many), runs (`whole`, `events_only`, `oldest`) and
        snapshots and studies of searches (how many).

    Raises:
        CellworksError: there is no lake, or MLflow does not answer.
    """
    policy, now = here.site.retention, datetime.now(UTC)
    training = old_training(here.home, policy, now.replace(tzinfo=None), lambda: _acting(here))
    runs = old_runs(instance, Ours(instance), here.home, now - timedelta(days=policy.keep_runs_days))
    named = snapshots_of_versions(here.home, without={(each.model, each.number) for each in training.versions})
    with reader(here.home) as con:
        snapshots = expirable(con, timedelta(days=policy.keep_snapshots_days), named, training.runs)
    board = board_of(here.home)
    studies = [] if board is None else old_studies(board, timedelta(days=policy.keep_snapshots_days))
    return _found(training, runs) | {"snapshots": len(snapshots), "studies": len(studies)}


def prune(here: Plant, instance: DagsterInstance, location: str | None = None) -> dict[str, Any]:
    """Let go what the site's retention does not keep, and compact the lake. The caller holds the run lock.

    Versions first: the snapshots that only they held go in the same night.

    Args:
        here: the plant, whose site says what is kept.
        instance: Dagster's; runs of other sites in it stay.
        location: code location that asks; None for a command.

    Returns:
        As `what_would_go`, and `files`: data files of the lake before and after, removed, and left by killed writers.

    Raises:
        CellworksError: another writer holds the lake, or MLflow does not answer.
    """
    policy, now = here.site.retention, datetime.now(UTC)
    training = let_training_go(here.home, policy, now.replace(tzinfo=None), lambda: _acting(here))
    report = maintain(
        here.home,
        keep=timedelta(days=policy.keep_snapshots_days),
        grace=timedelta(hours=policy.keep_replaced_files_h),
        also_keep=snapshots_of_versions(here.home),
    )
    board = board_of(here.home)
    studies = [] if board is None else delete_studies(board, timedelta(days=policy.keep_snapshots_days))
    runs = old_runs(instance, Ours(instance, location), here.home, now - timedelta(days=policy.keep_runs_days))
    let_runs_go(instance, runs)
    files = {
        "before": report.files_before,
        "after": report.files_after,
        "removed": report.removed,
        "orphans": report.orphans,
    }
    return _found(training, runs) | {"snapshots": len(report.expired), "studies": len(studies), "files": files}


def told(found: dict[str, Any]) -> str:
    """What went, or would go, as one sentence."""
    versions, runs = found["versions"], found["runs"]
    parts = [
        f"{len(versions)} model versions with {found['training_runs']} training runs",
        f"{runs['whole']} runs of Dagster, and the events of {runs['events_only']} that the audit names",
        f"{found['snapshots']} snapshots of the lake and {found['studies']} studies of searches",
    ]
    if "files" in found:
        files = found["files"]
        parts.append(
            f"{files['removed']} data files and {files['orphans']} that killed writers had left; "
            f"{files['before']} data files are {files['after']} now"
        )
    return "; ".join(parts)


def _acting(here: Plant) -> set[tuple[str, str]]:
    with reader(here.home) as con:
        return versions_waiting(con)


def _found(training: OldTraining, runs: OldRuns) -> dict[str, Any]:
    return {
        "versions": [
            {"model": each.model, "version": each.number, "trained_at": each.trained_at} for each in training.versions
        ],
        "training_runs": len(training.runs),
        "runs": {"whole": len(runs.whole), "events_only": len(runs.events_only), "oldest": runs.oldest},
    }
