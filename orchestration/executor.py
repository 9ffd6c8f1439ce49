"""How runs of the daemon execute: one at a time, in a warm fork server.

Measured (docs/decisions): a step costs 1.4 s by spawn and 0.22 s in a fork server whose preload list is
complete. The list only imports; no connection, no fit and no query may happen before the fork.
The command line runs in one process, where a step costs 0.05 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import dagster as dg

# Dagster offers no public way to wrap the multiprocess executor; the version is pinned.
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.multiprocess import MultiprocessExecutor

from orchestration.run_lock import PATIENCE_S, night_lock, under_way
from pipelines.lake.home import Home

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan

PRELOAD: Final = (
    "orchestration.preload",
    "dagster._core.executor.multiprocess",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.storage.event_log",
    "dagster._core.storage.runs",
    "dagster._core.storage.schedules",
    "dagster._core.storage.root",
    "dagster._core.storage.local_compute_log_manager",
    "alembic.runtime.migration",
    "sqlalchemy.dialects.sqlite",
    "duckdb",
    "dbt.cli.main",
    "great_expectations",
    "lightgbm",
    "xgboost",
    "optuna",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.figure",
    "models.train",
)
CONCURRENT_STEPS: Final = 2
"""Steps of one run at a time: checks read while another domain's step writes; writers wait for the lake's lock."""


class OneRunAtATime(MultiprocessExecutor):
    """The fork-server executor, holding the home's run lock from the first step to the last.

    The lock lives in the run's own process, so a killed run lets go of it.
    """

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Wait for whoever is at work, then execute the plan."""
        home = Home.from_env()
        if holder := under_way(home):
            plan_context.log.info(f"waiting for {holder}")
        with night_lock(home, f"run {plan_context.run_id[:8]} of {plan_context.job_name}", wait_s=PATIENCE_S):
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="warm", requirements=dg.multiple_process_executor_requirements())
def warm_executor(_init_context: dg.InitExecutorContext) -> Executor:
    """Return the executor with everything preloaded that a step imports."""
    return OneRunAtATime(
        retries=RetryMode.DISABLED,
        max_concurrent=CONCURRENT_STEPS,
        start_method="forkserver",
        explicit_forkserver_preload=PRELOAD,
    )
