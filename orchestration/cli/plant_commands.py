"""`init`, `nightly` and the second half of `demo`: what makes an instance and runs its night."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from models.families import family_of
from orchestration.cli import console
from orchestration.cli.night_summary import night_summary, show_night
from orchestration.engines import instance_settings
from orchestration.environment import GATEWAY_VARIABLE
from orchestration.interruption import remembered, was_interrupted
from orchestration.logs import bound
from orchestration.plant import Plant, claim, make_lake, plant
from orchestration.solving import MODEL, MONITORING, PREDICTIONS
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import SITE_FILE
from pipelines.lake.whole_file import write_whole

if TYPE_CHECKING:
    from dagster import AssetKey, ExecuteInProcessResult

    from models.solution import SolutionSpec


_LOG = logging.getLogger("cellworks.run")


def init(*, as_json: bool) -> None:
    """Create lake and Dagster instance; harmless when they are there."""
    here = plant()
    _require_gateway(here)
    with console.only_ours():
        prepare_instance(here)
        make_lake(here)
        _ensure_mlflow_users(here)
    found = {
        "site": here.site.name,
        "site_folder": here.site.folder,
        "home": here.home.root,
        "characteristics": len(here.site.plan.rows),
        "control_points": len(here.site.plan.points),
    }
    text = (
        f"{here.site.title}: {found['characteristics']} characteristics, {found['control_points']:,} control points; "
        f"home {here.home.root}"
    )
    console.tell(found, text, as_json=as_json)


def _require_gateway(here: Plant) -> None:
    """Refuse a site that names roles in a layout whose pages ask nobody for one."""
    if here.site.access.is_guarded and os.environ.get(GATEWAY_VARIABLE) == "none":
        raise CellworksError(
            "this layout has no gateway, so its pages would be everybody's",
            expected="a site that names no roles, or the layout of `cellworks services up`",
            found=f"{GATEWAY_VARIABLE}=none, and roles under `access`",
            mend="start it with `cellworks services up` and `cellworks gateway` (docs/how-to/who-may-do-what.md, "
            "The gateway), or take `access` out",
            where=str(here.site.file(SITE_FILE)),
        )


def _ensure_mlflow_users(here: Plant) -> None:
    if here.home.stores.lake_url is not None:
        from orchestration.services.mlflow_login import ensure_users_told

        ensure_users_told(here.home.stores.mlflow_uri)


def prepare_instance(here: Plant) -> None:
    """Make the home's folders, Dagster's instance file, and name it to this process."""
    from models.registry.retention import forget_what_went

    claim(here)
    stores = here.home.stores
    write_whole(here.home.dagster_dir / "dagster.yaml", instance_settings(stores, here.home))
    if stores.dagster_url is not None:
        from models.registry.key import registry_key
        from pipelines.lake.servers import ensure_stores

        ensure_stores(stores)
        registry_key(here.home)  # a machine with another one is told before it trains or judges anything
        os.environ["CELLWORKS_DAGSTER_URL"] = stores.dagster_url
    os.environ["DAGSTER_HOME"] = str(here.home.dagster_dir)
    os.environ["CELLWORKS_HOME"] = str(here.home.root)
    # Maintenance runs on one machine; each of the others lets its copies of models go when it begins something.
    forget_what_went(here.home)


def nightly(only: Sequence[str], *, take_in: bool, full_search: bool, as_json: bool) -> None:
    """One night; exit code 1 when a step of it failed."""
    here = plant()
    summary = run_night(here, only, take_in=take_in, full_search=full_search)
    if as_json:
        console.tell(summary, "", as_json=True)
    else:
        show_night(here, summary)
    if not summary["success"]:
        sys.exit(1)


def run_night(here: Plant, only: Sequence[str], *, take_in: bool, full_search: bool) -> dict[str, Any]:
    """One night as a Dagster run of this process.

    Args:
        here: The plant.
        only: Solutions, to run just these; none for everything.
        take_in: Before these solutions, take in, curate and check, as the whole night does.
        full_search: Spend the whole search budget.

    Returns:
        success, run_id, seconds; rows (`in`, `telemetry` of them, `quarantined`, `files_quarantined`; None when
        nothing was to be taken in); checks_passed, checks_failed, failed_checks (asset, check, blocking, why); models
        (figures of each version trained, with its predictions and monitoring); rules (predictions of each solution
        that learns nothing); failed_steps (step -> why); then solutions and kpis as `status --json` has them.

    Raises:
        CellworksError: There is no such solution, or another night is under way.
        KeyboardInterrupt: Ctrl-C ended a step.
    """
    from orchestration import progress
    from orchestration.catalogue import discover, find
    from orchestration.run_lock import night_lock

    known = discover()
    chosen = [find(name, known) for name in only]
    began = time.monotonic()
    with console.only_ours():
        prepare_instance(here)
        with remembered(), night_lock(here.home), console.bars() as shown, progress.listening(shown):
            make_lake(here)
            if not take_in:
                _refuse_nothing_published(here, chosen)
            shown.begin("loading definitions")
            result = _execute(here, chosen, shown, take_in=take_in, full_search=full_search)
        return night_summary(here, {**result, "seconds": round(time.monotonic() - began, 1)})


def _refuse_nothing_published(here: Plant, chosen: Sequence[SolutionSpec]) -> None:
    """Refuse solutions over the plant's tables where no night has published one; their definitions take a minute.

    Raises:
        CellworksError: nothing was published yet.
    """
    from pipelines.lake.connection import reader
    from pipelines.lake.files import file_suffix

    waiting = [spec.solution for spec in chosen if file_suffix(spec.table) is None]
    if not waiting:
        return
    with reader(here.home) as con:
        published = con.execute("SELECT count(*) FROM lake.ops.published").fetchone()
    if published == (0,):
        raise CellworksError(
            f"{', '.join(waiting)} has nothing to read: no night has published this plant's rows yet",
            expected="rows that were taken in and passed their blocking checks",
            found="none",
            mend="add --take-in, or run `cellworks nightly` without --only first",
            where=str(here.home.root),
        )


def _execute(
    here: Plant, only: Sequence[SolutionSpec], shown: console.Bars, *, take_in: bool, full_search: bool
) -> dict[str, Any]:
    from dagster import DagsterInstance

    from orchestration.blocked import tell_blocked
    from orchestration.definitions import defs
    from orchestration.jobs import SEARCH_TAG, night_of, step_count
    from orchestration.run_lock import NIGHTS_OWN_LOCK_TAG, close_dead_nights
    from orchestration.whose import Ours, site_tag

    logging.getLogger("dagster").setLevel(logging.ERROR)
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    # A module of it sets its own level when it is imported, and speaks in the middle of the bars.
    logging.getLogger("great_expectations.data_context.types.base").addFilter(_is_warning)
    definitions = defs() if callable(defs) else defs
    job = night_of(definitions, only, take_in=take_in)
    shown.expect(step_count(job))
    with DagsterInstance.get() as instance:
        close_dead_nights(instance, Ours(instance))
        _LOG.info("run begins", extra={"job": job.name})
        run = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            # The events are in the instance and on the bars; the terminal needs no copy of them.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={NIGHTS_OWN_LOCK_TAG: "yes", SEARCH_TAG: "full" if full_search else "refit", **site_tag()},
        )
        failures = {event.step_key: event.step_failure_data for event in run.all_events if event.is_step_failure}
        if any(was_interrupted(each) for each in failures.values()):
            raise KeyboardInterrupt
        if failures:
            tell_blocked(here, instance, run.run_id)
    failed = _failed_checks(run)
    _tell_end(job.name, run, failures, failed)
    figures = [(event.asset_key, _figures(event)) for event in run.get_asset_materialization_events()]
    parts = {key: each for key, each in figures if key and len(key.path) == 3}
    return {
        "success": run.success,
        "run_id": run.run_id,
        "rows": _inflow(here, {key.path[1]: each for key, each in figures if key and key.path[0] == "raw"}),
        "checks_passed": sum(bool(each.passed) for each in run.get_asset_check_evaluations()),
        "checks_failed": len(failed),
        "failed_checks": failed,
        "models": list(_models(parts)),
        "rules": list(_rules(parts)),
        "failed_steps": {step: _why(failure) for step, failure in failures.items()},
    }


def _tell_end(
    job: str, run: ExecuteInProcessResult, failures: dict[str | None, Any], failed: list[dict[str, Any]]
) -> None:
    """How the run ended, in one line of the log."""
    figures = {
        "job": job,
        "blocking_checks_failed": [each["asset"] for each in failed if each["blocking"]],
        "failed_steps": {str(step): _why(failure) for step, failure in failures.items()},
    }
    with bound(run=run.run_id):
        if run.success:
            _LOG.info("run done", extra=figures)
        else:
            _LOG.error("run failed", extra=figures)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _figures(event: Any) -> dict[str, Any]:
    return {name: each.value for name, each in event.materialization.metadata.items()}


def _inflow(here: Plant, feeds: dict[str, dict[str, Any]]) -> dict[str, int] | None:
    """Rows of the feeds that were taken in; None when the run took in none."""
    names = {"in": "rows_in", "quarantined": "rows_quarantined", "files_quarantined": "files_quarantined"}
    rows = {name: sum(int(feed[key]) for feed in feeds.values()) for name, key in names.items()}
    by_minute = [feeds[name] for name in feeds if here.site.feeds[name].shape == "series"]
    return {**rows, "telemetry": sum(int(feed["rows_in"]) for feed in by_minute)} if feeds else None


def _failed_checks(run: ExecuteInProcessResult) -> list[dict[str, Any]]:
    return [
        {
            "asset": each.asset_key.to_user_string(),
            "check": each.check_name,
            "blocking": each.severity.value == "ERROR",
            "why": each.description or "",
        }
        for each in run.get_asset_check_evaluations()
        if not each.passed
    ]


def _models(parts: dict[AssetKey, dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """What each solution's training brought, with what its version wrote and what its monitoring saw."""
    from dagster import AssetKey

    for key, figures in parts.items():
        *solution, part = key.path
        if part == MODEL:
            yield {
                "solution": "/".join(solution),
                **figures,
                PREDICTIONS: parts.get(AssetKey([*solution, PREDICTIONS])),
                MONITORING: parts.get(AssetKey([*solution, MONITORING])),
            }


def _rules(parts: dict[AssetKey, dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """What each solution wrote that learns nothing."""
    from orchestration.assets.keys import solution_key
    from orchestration.catalogue import discover

    for spec in discover():
        figures = parts.get(solution_key(spec, PREDICTIONS))
        if figures is not None and not family_of(spec).learns:
            yield {"solution": spec.solution, **figures}


def _why(failure: Any) -> str:
    """Why a step failed: what we tell a person, else the first cause."""
    error = failure.error
    while error is not None and error.cause is not None and error.cls_name != CellworksError.__name__:
        error = error.cause
    text = failure.user_failure_data.description if failure.user_failure_data else None
    return str(text or (error.message.strip() if error else "unknown"))
