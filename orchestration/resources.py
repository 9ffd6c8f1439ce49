"""What a solution's `resources` are to the engines that run containers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from models.solution import Resources, SolutionSpec

_GIB = 1024**3


def pod_tags(resources: Resources | None) -> dict[str, object]:
    """Tags by which Dagster's Kubernetes library knows what a pod gets: a job's for its run, a step's for itself."""
    if resources is None:
        return {}
    asked = {"cpu": f"{resources.cpu_cores:g}", "memory": f"{resources.memory_gib * 1024:.0f}Mi"}
    return {"dagster-k8s/config": {"container_config": {"resources": {"requests": asked, "limits": asked}}}}


def container_limits(resources: Resources | None) -> dict[str, Any]:
    """The same for Docker: arguments of the container that its library makes; empty for the launcher's own."""
    if resources is None:
        return {}
    return {
        "nano_cpus": round(resources.cpu_cores * 1_000_000_000),
        "mem_limit": round(resources.memory_gib * _GIB),
    }


def largest(specs: Iterable[SolutionSpec]) -> Resources | None:
    """What a step needs that serves several solutions: the most of each that any asks for; None when none asks."""
    asked = [spec.resources for spec in specs if spec.resources is not None]
    if not asked:
        return None
    return Resources(cpu_cores=max(each.cpu_cores for each in asked), memory_gib=max(each.memory_gib for each in asked))
