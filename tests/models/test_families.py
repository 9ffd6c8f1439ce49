"""Every family is whole: a component of its name, functions that are there, checks that the night can fill."""

from __future__ import annotations

from pkgutil import resolve_name

import pytest
import yaml

from models.families import FAMILIES, PREDICTIVE_MODEL, Family, family_named, family_of
from models.process_monitor.spec import MonitorSpec
from models.solution import LearningSpec, RuleSpec, SolutionSpec
from models.spec import PredictiveSpec
from orchestration import components
from orchestration.catalogue import build_spec, type_of
from orchestration.components import scaffolding
from orchestration.components.solution import SolutionComponent
from pipelines.control_plan.errors import CellworksError


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.component)
def test_a_family_has_its_component_its_functions_and_its_checks(family: Family) -> None:
    component = getattr(components, family.component)
    assert issubclass(component, SolutionComponent)
    assert component.family() is family
    assert set(component.get_model_cls().model_fields) == set(family.spec.model_fields) - {"stage", "slug"}
    assert set(family.functions) - {"asked"} == ({"train", "judge", "score", "monitor"} if family.learns else {"score"})
    assert all(callable(resolve_name(place)) for place in family.functions.values())
    assert family.parts == (("model", "predictions", "monitoring") if family.learns else ("predictions",))
    assert family.answering == family.parts[family.learns :]
    assert issubclass(family.spec, LearningSpec if family.learns else RuleSpec)
    assert all(text for named in family.checks.values() for text in named.values())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.component)
def test_what_is_scaffolded_is_read_and_a_wrong_attribute_is_told_with_file_and_line(family: Family) -> None:
    attributes = getattr(scaffolding, f"{family.component}Scaffolder").attributes
    spec = build_spec(family, ("my_stage", "my_solution"), attributes, "defs.yaml")
    assert family_of(spec) is family
    text = yaml.safe_dump({"type": type_of(family), "attributes": {**attributes, "entity": ["a", "list"]}})
    line = next(number for number, row in enumerate(text.splitlines(), 1) if row.strip().startswith("entity"))
    with pytest.raises(CellworksError, match=f"line {line}: attributes.entity|line {line}: entity") as told:
        build_spec(family, ("my_stage", "my_solution"), yaml.safe_load(text)["attributes"], "defs.yaml", text)
    assert family.component in str(told.value)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.component)
def test_every_attribute_of_the_yaml_schema_has_a_type_and_a_description(family: Family) -> None:
    schema = getattr(components, family.component).get_model_cls().model_json_schema()
    parts = {"attributes": schema, **schema.get("$defs", {})}
    assert all(part["additionalProperties"] is False for part in parts.values() if "properties" in part)
    for part, content in parts.items():
        for name, each in content.get("properties", {}).items():
            assert each.get("description"), f"{part}.{name} has no description"
            assert {"type", "enum", "const", "anyOf", "$ref", "if"} & set(each), f"{part}.{name} has no type"


def test_a_kind_that_no_part_has_is_told_with_its_line_and_the_kinds_that_there_are() -> None:
    attributes = {**scaffolding.IndicatorScaffolder.attributes}
    attributes["indicator"] = {"only": "is_in_oee", **attributes["indicator"], "kind": "oe"}
    family = family_named("Indicator")
    assert family is not None
    text = yaml.safe_dump({"type": type_of(family), "attributes": attributes}, sort_keys=False)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if row.strip() == "kind: oe")
    with pytest.raises(CellworksError, match=f"line {line}: indicator.kind: .*'oee', 'cost', 'alarms', 'suppliers'"):
        build_spec(family, ("my_stage", "my_solution"), yaml.safe_load(text)["attributes"], "defs.yaml", text)


def test_a_spec_knows_its_family_and_a_stranger_has_none() -> None:
    content = {"question": "?", "table": "t.csv", "keys": ["k"], "target": {"column": "y"}, "task": "regression"}
    spec = PredictiveSpec(stage="a", slug="b", **content)
    assert family_of(spec) is PREDICTIVE_MODEL
    assert family_named("PredictiveModel") is PREDICTIVE_MODEL
    assert family_named("predictive_model") is None


def test_the_same_solution_over_the_copies_of_its_tables() -> None:
    spec = PredictiveSpec(
        stage="a",
        slug="b",
        question="?",
        table="t.csv",
        keys=["k"],
        target={"column": "y", "table": "labels.csv"},
        baseline={"column": "naive", "table": "marts.cell_label"},
        task="regression",
    )
    bound = spec.over({"t.csv": "own.a__b", "labels.csv": "own.a__b__2"}, "own/a/b")
    assert (bound.tables, bound.domain) == (["own.a__b", "own.a__b__2", "marts.cell_label"], "own/a/b")
    assert spec.files == ["t.csv", "labels.csv"]
    assert bound.files == []


def test_a_monitor_takes_the_studies_of_its_gauges_with_it() -> None:
    gauge = {"table": "study.csv", "part": "p", "operator": "o", "value": "v", "tolerance": 1.0}
    content = {"question": "?", "table": "t.csv", "keys": ["k"], "time": "at", "reference": {"days": 7}}
    spec = MonitorSpec(stage="a", slug="b", gauges={"x": gauge, "y": gauge}, **content)
    assert spec.files == ["t.csv", "study.csv"]
    bound = spec.over({"t.csv": "own.a__b", "study.csv": "own.a__b__2"}, "own/a/b")
    assert bound.tables == ["own.a__b", "own.a__b__2"]


def test_a_spec_of_no_family_is_told_by_what_it_lacks() -> None:
    with pytest.raises(TypeError, match="primary_metric"):
        SolutionSpec(stage="a", slug="b", question="?", table="t.csv", keys=["k"])
