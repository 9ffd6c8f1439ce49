"""A code location as ours are, whose asset, check, hook and sensors fail with secrets in what they say and print."""

import logging
import os
from collections.abc import Iterator
from typing import NoReturn

import dagster as dg

import orchestration.definitions  # noqa: F401 - what every code location of ours begins with
from pipelines.control_plan.errors import CellworksError


def refuse(what: str) -> NoReturn:
    """Fail as a step over stores does: what we tell, made of what two libraries told, each with a secret."""
    try:
        _sign()
    except PermissionError as error:
        raise CellworksError(
            f"{what} can't read source 'erp'",
            expected="rows",
            found=f"status 401 of mlflow:{os.environ['MLFLOW_TRACKING_PASSWORD']}",
            mend="check `sources:`",
            where="site.yaml:12",
        ) from error


def _sign() -> NoReturn:
    try:
        _connect()
    except ConnectionError as error:
        raise PermissionError(f"SignatureDoesNotMatch: {os.environ['AWS_SECRET_ACCESS_KEY']!r}") from error


def _connect() -> NoReturn:
    raise ConnectionError(f"connection to {os.environ['PLANT_ERP_URL']} failed")


@dg.failure_hook
def tells(_context: dg.HookContext) -> None:
    """Fails as well."""
    refuse("the hook")


@dg.asset(hooks={tells})
def rows(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Says its secrets in every way that Dagster offers, and succeeds."""
    secret = os.environ["MLFLOW_TRACKING_PASSWORD"]
    print(f"printed {secret}", flush=True)
    logging.getLogger("some.library").warning("warned of %s", secret)
    context.log.error("logged %s", secret)
    context.log_event(dg.AssetObservation(asset_key="rows", description=secret, metadata={"reason": secret}))
    return dg.MaterializeResult(
        metadata={
            "text": secret,
            "markdown": dg.MetadataValue.md(f"**{secret}**"),
            "json": {"deep": [secret], "password": "unknown-elsewhere"},
            "url": dg.MetadataValue.url(os.environ["PLANT_ERP_URL"]),
            "table": dg.MetadataValue.table([dg.TableRecord({"x": secret})]),
        }
    )


@dg.asset(hooks={tells})
def fails() -> None:
    """Fails, and so does its hook."""
    refuse("the asset")


@dg.asset
def gives_up() -> None:
    """Fails in Dagster's own words."""
    secret = os.environ["MLFLOW_TRACKING_PASSWORD"]
    raise dg.Failure(description=f"given up with {secret}", metadata={"why": secret})


@dg.asset_check(asset=rows)
def looks() -> dg.AssetCheckResult:
    """Fails."""
    refuse("the check")


@dg.asset_check(asset=rows)
def finds() -> dg.AssetCheckResult:
    """Finds fault."""
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    return dg.AssetCheckResult(passed=False, description=f"found {secret}", metadata={"sample": secret})


@dg.sensor(job_name="leaking", minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def asks(_context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """One run."""
    yield dg.RunRequest(run_key="once")


@dg.sensor(job_name="leaking", minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def breaks(_context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fails."""
    refuse("the sensor")


@dg.run_failure_sensor(minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def breaks_after(_context: dg.RunFailureSensorContext) -> None:
    """Fails when the run has."""
    refuse("the failure sensor")


@dg.definitions
def defs() -> dg.Definitions:
    """All of it, with steps of one run in one process."""
    return dg.Definitions(
        assets=[rows, fails, gives_up],
        asset_checks=[looks, finds],
        sensors=[asks, breaks, breaks_after],
        jobs=[dg.define_asset_job("leaking", selection="*", executor_def=dg.in_process_executor)],
    )
