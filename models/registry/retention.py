"""Which versions and training runs MLflow need not keep, and letting them go.

A run or a logged model that is deleted can be restored; `mlflow gc` takes it away, with its artifacts, once it was
deleted for `keep_deleted_days`. A version is gone at once. So a prune that was killed is finished by the next.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from models.registry import remains
from models.registry.client import open_home, pages
from models.registry.fetched import forget_all_but, has_copies
from models.registry.place import root_uri
from models.registry.versions import CHAMPION, PREVIOUS, aliases
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.retention import Retention
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS, writer_lock
from pipelines.lake.maintenance import unpin
from pipelines.lake.tables import has_table

_OURS = "tags.`mlflow.source.name` = 'cellworks'"
# What reigned, before a move or after it. A night moves challengers into the shadow and out again: held as well, they
# would grow with the nights, and the chain's rows say what became of them.
_AUDIT = f"""SELECT DISTINCT model,
        unnest([json_extract_string(before, '$.' || alias), json_extract_string(after, '$.' || alias)])
    FROM (SELECT model, before, after, unnest(json_keys(after)) AS alias FROM lake.ops.alias_audit)
    WHERE alias IN ('{CHAMPION}', '{PREVIOUS}')"""
_ACTS = "SELECT DISTINCT subject, json_extract_string(detail, '$.version') FROM lake.ops.act WHERE act = 'override'"
Held = Iterable[tuple[str, str]]
"""Models by name or slug, each with a version's number."""


@dataclass(frozen=True)
class OldVersion:
    """A version that nothing points to.

    Attributes:
        model: its model, `<stage>.<slug>`.
        number: its number as text.
        run_id: the training run that led to it.
        trained_at: when it was registered, UTC without zone.
    """

    model: str
    number: str
    run_id: str
    trained_at: datetime


@dataclass(frozen=True)
class OldTraining:
    """What MLflow need not keep.

    Attributes:
        versions: versions that go.
        runs: training runs that go: those of the versions, and old ones that led to none.
    """

    versions: tuple[OldVersion, ...]
    runs: tuple[str, ...]


def old_training(home: Home, policy: Retention, now: datetime, acting: Callable[[], Held] = tuple) -> OldTraining:
    """What of MLflow would go now.

    Args:
        home: the instance.
        policy: the site's.
        now: UTC without zone.
        acting: tells the versions behind open actions, which stay.
    """
    client = open_home(home)
    versions = _versions(client)
    held = {*_audited(home), *acting()}
    going = tuple(_old_versions(client, held, versions, policy.keep_model_versions))
    before = now - timedelta(days=policy.keep_runs_days)
    return OldTraining(going, tuple(_old_runs(client, versions, going, before)))


def let_training_go(home: Home, policy: Retention, now: datetime, acting: Callable[[], Held] = tuple) -> OldTraining:
    """Delete what `old_training` finds, and take away for good what was deleted long enough ago.

    Returns:
        What was deleted now.

    Raises:
        CellworksError: MLflow names artifacts elsewhere, as where a home was copied without them; nothing was deleted.
    """
    client = open_home(home)
    _refuse_elsewhere(client, home)
    # Aliases move and actions come under this lock: nothing comes to name a version between the look at it and its end.
    with writer_lock(home, "pruning of model versions", area=ACTS):
        old = old_training(home, policy, now, acting)
        for each in old.versions:
            client.delete_model_version(each.model, each.number)
    _unpin(home, old.runs)  # first: no later prune would find the pins of a run that is gone
    for run_id in old.runs:
        for model_id in _logged_models(client, run_id):
            client.delete_logged_model(model_id)
        client.delete_run(run_id)
    _collect(home.stores.mlflow_uri, policy.keep_deleted_days)
    remains.clear(home.stores.mlflow_uri)
    if "://" not in home.stores.mlflow_artifacts:
        remains.sweep(Path(home.stores.mlflow_artifacts), policy.keep_deleted_days * 86_400)
    forget_what_went(home)
    return old


def forget_what_went(home: Home) -> None:
    """Take away this machine's copies of versions that the registry no longer names, whichever machine pruned them.

    Raises:
        CellworksError: MLflow does not answer; nothing was taken away.
    """
    if not has_copies(home):  # as with files, where MLflow need not be loaded
        return
    staying = (version for found in _versions(open_home(home)).values() for version in found)
    forget_all_but(home, {(str(each.run_id), str(each.version)) for each in staying})


def _refuse_elsewhere(client: Any, home: Home) -> None:
    """A home that was copied without its artifacts names those of the other, and would delete them."""
    from mlflow.entities import ViewType

    wanted = root_uri(home.stores.mlflow_artifacts)
    for run in pages(client.search_runs, _experiments(client), _OURS, ViewType.ALL):
        if not str(run.info.artifact_uri).startswith(f"{wanted}/"):
            raise CellworksError(
                "MLflow names artifacts outside this instance, which are not deleted",
                expected=f"addresses below {wanted}",
                found=str(run.info.artifact_uri),
                mend="bring mlflow/artifacts into this home too, or use `cellworks backup` and `cellworks restore`",
            )


def _experiments(client: Any) -> list[str]:
    from mlflow.entities import ViewType

    return [str(each.experiment_id) for each in pages(client.search_experiments, ViewType.ALL)]


def _versions(client: Any) -> dict[str, list[Any]]:
    """Every version of each model that a solution registered, newest first; a person's own models are not ours."""
    ours = [each.name for each in pages(client.search_registered_models) if "solution" in each.tags]
    found: dict[str, list[Any]] = {name: [] for name in ours}
    for version in pages(client.search_model_versions):
        if version.name in found:
            found[version.name].append(version)
    return {name: sorted(each, key=lambda version: -int(version.version)) for name, each in found.items()}


def _old_versions(client: Any, held: Held, versions: dict[str, list[Any]], keep: int) -> Iterator[OldVersion]:
    for name, found in versions.items():
        named = {str(number) for number in aliases(client, name).values()}
        named |= {number for subject, number in held if subject in (name, name.split(".", 1)[1])}
        free = [each for each in found if str(each.version) not in named and not _was_relied_upon(each.tags)]
        for each in free[keep:]:
            at = datetime(1970, 1, 1) + timedelta(milliseconds=each.creation_timestamp)  # noqa: DTZ001 - UTC
            yield OldVersion(name, str(each.version), str(each.run_id), at)


def _was_relied_upon(tags: dict[str, str]) -> bool:
    """A former champion is what a champion without clearance falls back to; a signature is evidence."""
    return "champion_since" in tags or bool(tags.get("override_by"))


def _audited(home: Home) -> set[tuple[str, str]]:
    """Model and version of every champion and every signature that the audit tells of."""
    if not home.has_lake:
        return set()
    with reader(home) as con:
        return {
            (str(model), str(number))
            for table, sql in (("alias_audit", _AUDIT), ("act", _ACTS))
            if has_table(con, "ops", table)
            for model, number in con.execute(sql).fetchall()
        }


def _old_runs(
    client: Any, versions: dict[str, list[Any]], going: Iterable[OldVersion], before: datetime
) -> Iterator[str]:
    """Training runs that no version needs which stays: neither as its run nor as the source of its files."""
    gone = {(each.model, each.number) for each in going}
    staying = [each for found in versions.values() for each in found if (each.name, str(each.version)) not in gone]
    needed = {str(each.run_id) for each in staying}
    sources = {str(each.source) for each in staying}
    ended_ms = int((before - datetime(1970, 1, 1)).total_seconds() * 1000)  # noqa: DTZ001 - UTC
    old = pages(client.search_runs, _experiments(client), f"{_OURS} AND attributes.end_time < {ended_ms}")
    ended = [str(each.info.run_id) for each in old if each.info.status != "RUNNING"]
    for run_id in dict.fromkeys([*(each.run_id for each in going), *ended]):
        if run_id not in needed and not any(f"models:/{each}" in sources for each in _logged_models(client, run_id)):
            yield run_id


def _logged_models(client: Any, run_id: str) -> list[str]:
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    return [str(each.model_id) for each in found]


def _unpin(home: Home, runs: tuple[str, ...]) -> None:
    if not runs or not home.has_lake:
        return
    with writer(home, why="let go of the snapshots of pruned versions", area=ACTS) as con:
        if has_table(con, "ops", "pin"):
            for run_id in runs:
                unpin(con, run_id)


def _collect(uri: str, keep_deleted_days: float) -> None:
    """`mlflow gc`: away with what was deleted so long ago, rows and artifacts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints
        from mlflow.cli import gc

    age = f"{keep_deleted_days * 86_400:.0f}s"
    gc.main(
        ["--backend-store-uri", uri, "--tracking-uri", uri, "--older-than", age], prog_name="gc", standalone_mode=False
    )
