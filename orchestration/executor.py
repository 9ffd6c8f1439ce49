"""How runs of the daemon execute: one at a time, in a warm fork server or with a container for each step.

Measured (docs/decisions): a step costs 1.4 s by spawn and 0.22 s in a fork server whose preload list is
complete. The list only imports; no connection, no fit and no query may happen before the fork.
The command line runs in one process, where a step costs 0.05 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

# Dagster offers no public way to wrap the multiprocess executor; the version is pinned.
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.multiprocess import MultiprocessExecutor

from orchestration.engines import EXECUTOR_VARIABLE, Engine, chosen_engine
from orchestration.resources import container_limits
from orchestration.run_lock import PATIENCE_S, night_lock, under_way
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.step_dependency_config import StepDependencyConfig

    from models.solution import Resources
    from pipelines.lake.stores import Stores

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


class OneRunAtATime(Executor):
    """An executor that holds the instance's run lock from the first step to the last.

    The lock lives in the run's own process, so a killed run lets go of it.
    """

    def __init__(self, steps: Executor) -> None:
        self._steps = steps

    @property
    def retries(self) -> RetryMode:
        """As the executor of the steps."""
        return self._steps.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        """As the executor of the steps."""
        return self._steps.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Wait for whoever is at work, then execute the plan."""
        home = Home.from_env()
        if holder := under_way(home):
            plan_context.log.info(f"waiting for {holder}")
        with night_lock(home, f"run {plan_context.run_id[:8]} of {plan_context.job_name}", wait_s=PATIENCE_S):
            yield from self._steps.execute(plan_context, execution_plan)


@dg.executor(name="warm", requirements=dg.multiple_process_executor_requirements())
def warm_executor(_init_context: dg.InitExecutorContext) -> Executor:
    """Return the executor with everything preloaded that a step imports."""
    return OneRunAtATime(
        MultiprocessExecutor(
            retries=RetryMode.DISABLED,
            max_concurrent=CONCURRENT_STEPS,
            start_method="forkserver",
            explicit_forkserver_preload=PRELOAD,
        )
    )


def chosen_executor(stores: Stores, resources: Resources | None = None) -> dg.ExecutorDefinition:
    """Return the executor of the engine that `CELLWORKS_EXECUTOR` names.

    Args:
        stores: Those of the instance.
        resources: What each container may use, where a job of its own asks for it. On Kubernetes the steps' own tags
            say it, and processes share the machine.

    Raises:
        CellworksError: There is no such engine, its library is not installed, or the stores can't be shared.
    """
    return _EXECUTORS[chosen_engine(stores)](resources)


def _warm(_resources: Resources | None) -> dg.ExecutorDefinition:
    return warm_executor


def _kubernetes(_resources: Resources | None) -> dg.ExecutorDefinition:
    return _in_containers(_library("dagster_k8s", "kubernetes").k8s_job_executor, {})


def _docker(resources: Resources | None) -> dg.ExecutorDefinition:
    found = _library("dagster_docker", "docker").docker_executor
    return _in_containers(found, {"container_kwargs": container_limits(resources)})


_EXECUTORS: Final[Mapping[Engine, Callable[[Resources | None], dg.ExecutorDefinition]]] = {
    "processes": _warm,
    "kubernetes": _kubernetes,
    "docker": _docker,
}


def _in_containers(theirs: dg.ExecutorDefinition, config: Mapping[str, Any]) -> dg.ExecutorDefinition:
    """An executor of Dagster's libraries, under the run lock and set up alike."""
    create = theirs.executor_creation_fn
    if create is None:
        raise LookupError(f"Dagster's executor {theirs.name} has no function that makes it")
    ours = dg.ExecutorDefinition(
        name=theirs.name,
        config_schema=theirs.config_schema.as_field(),
        requirements=dg.multiple_process_executor_requirements(),
        executor_creation_fn=lambda context: OneRunAtATime(create(context)),
    )
    return ours.configured({"retries": {"disabled": {}}, "max_concurrent": CONCURRENT_STEPS, **config}, theirs.name)


def _library(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise CellworksError(
            f"{EXECUTOR_VARIABLE} is {extra}, but {error.name} is not installed",
            expected=f"the package {name.replace('_', '-')}",
            found="nothing",
            mend=f"`make setup` in the clone brings the extra `{extra}`; or leave {EXECUTOR_VARIABLE} out",
            where=EXECUTOR_VARIABLE,
        ) from error
