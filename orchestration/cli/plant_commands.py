"""`init` and `nightly`."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from orchestration.cli import people
from orchestration.cli.console import as_json as to_json
from orchestration.cli.console import bars
from orchestration.environment import project_root
from orchestration.plant import Plant, plant
from orchestration.solving import MODEL


def init() -> None:
    """Create lake and Dagster instance; harmless when they are there."""
    from pipelines.lake.schemas import bootstrap

    here = plant()
    prepare_instance(here)
    bootstrap(here.home, here.site)
    print(f"{here.site.title}: {len(here.site.plan.rows)} characteristics, home {here.home.root}")


def prepare_instance(here: Plant) -> None:
    """Make the home's folders, Dagster's instance file, and name it to this process."""
    here.home.ensure()
    here.home.dagster_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(project_root() / "infra" / "dagster" / "dagster.yaml", here.home.dagster_dir / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(here.home.dagster_dir)
    os.environ["CELLWORKS_HOME"] = str(here.home.root)


def nightly(only: str | None, *, full_search: bool, as_json: bool) -> None:
    """One night as a Dagster run of this process; exit code 1 when a step failed."""
    from orchestration import progress
    from orchestration.run_lock import night_lock
    from pipelines.lake.schemas import bootstrap

    here = plant()
    prepare_instance(here)
    with night_lock(here.home), bars() as shown, progress.listening(shown):
        bootstrap(here.home, here.site)
        shown.begin("loading definitions")
        result = _execute(only, full_search=full_search)
    summary = people.night_summary(here, result)
    print(to_json(summary)) if as_json else people.show_night(here, summary)
    if not result["success"]:
        sys.exit(1)


def _execute(only: str | None, *, full_search: bool) -> dict[str, Any]:
    import logging

    from dagster import AssetKey, DagsterInstance

    from orchestration.catalogue import find
    from orchestration.definitions import defs
    from orchestration.jobs import NIGHTLY, SEARCH_TAG
    from orchestration.run_lock import NIGHTS_OWN_LOCK_TAG
    from orchestration.solving import PARTS

    logging.getLogger("dagster").setLevel(logging.ERROR)
    keys = [AssetKey([*find(only).solution.split("/"), part]) for part in PARTS] if only else None
    definitions = defs() if callable(defs) else defs
    job = definitions.resolve_job_def(NIGHTLY)
    with DagsterInstance.get() as instance:
        run = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            # The events are in the instance and on the bars; the terminal needs no copy of them.
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            asset_selection=keys,
            tags={NIGHTS_OWN_LOCK_TAG: "yes", SEARCH_TAG: "full" if full_search else "refit"},
        )
        checks = run.get_asset_check_evaluations()
        return {
            "success": run.success,
            "run_id": run.run_id,
            "checks_passed": sum(bool(each.passed) for each in checks),
            "checks_failed": [
                f"{each.asset_key.to_user_string()}: {each.check_name}" for each in checks if not each.passed
            ],
            "models": [_model(event) for event in run.get_asset_materialization_events() if _is_model(event)],
            "failed_steps": {
                event.step_key: _why(event.step_failure_data) for event in run.all_events if event.is_step_failure
            },
        }


def _is_model(event: Any) -> bool:
    return bool(event.asset_key and event.asset_key.path[-1] == MODEL and len(event.asset_key.path) == 3)


def _model(event: Any) -> dict[str, Any]:
    """What a solution's training brought: version, figures, and what became of it and why."""
    figures = {name: each.value for name, each in event.materialization.metadata.items()}
    return {"solution": "/".join(event.asset_key.path[:-1]), **figures}


def _why(failure: Any) -> str:
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    text = failure.user_failure_data.description if failure.user_failure_data else None
    return str(text or (error.message.strip() if error else "unknown"))
