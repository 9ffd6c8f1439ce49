"""What a solution asks for reaches the pod of its own job, and changes nothing else."""

from __future__ import annotations

import json

import pytest

from models.families import family_of
from models.scoring.rule import rule_version
from models.solution import Resources, RuleSpec
from orchestration.catalogue import build_spec, discover, find
from pipelines.control_plan.errors import CellworksError

TAG = "dagster-k8s/config"


def test_resources_of_a_solution_become_the_tag_that_kubernetes_launcher_reads() -> None:
    import orchestration.components as components

    spec = find("finishing/yield_root_cause")
    assert spec.resources is None
    component = getattr(components, family_of(spec).component)
    asking = spec.model_copy(update={"resources": Resources(cpu_cores=1.5, memory_gib=6)})
    (plain,), (job,) = (component(each).build_defs(None).jobs for each in (spec, asking))
    assert TAG not in plain.tags
    told = job.tags[TAG]
    asked = {"cpu": "1.5", "memory": "6144Mi"}
    told = json.loads(told) if isinstance(told, str) else told
    assert told == {"container_config": {"resources": {"requests": asked, "limits": asked}}}
    assert job.tags["cellworks/solution"] == "finishing/yield_root_cause"


def test_a_rule_is_the_same_rule_whatever_it_runs_on() -> None:
    rule = next(each for each in discover() if isinstance(each, RuleSpec))
    asking = rule.model_copy(update={"resources": Resources(cpu_cores=2, memory_gib=4)})
    assert rule_version(asking, 1) == rule_version(rule, 1)


@pytest.mark.parametrize("wrong", [{"cpu_cores": 0, "memory_gib": 4}, {"cpu_cores": 2}, {"cpu": 2, "memory": "4Gi"}])
def test_wrong_resources_are_refused_with_their_name(wrong: dict[str, object]) -> None:
    spec = find("finishing/yield_root_cause")
    given = spec.model_dump(exclude_unset=True, exclude={"stage", "slug"}) | {"resources": wrong}
    with pytest.raises(CellworksError, match="resources"):
        build_spec(family_of(spec), ("finishing", "yield_root_cause"), given, "defs.yaml")
