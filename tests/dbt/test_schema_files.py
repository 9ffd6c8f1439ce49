"""Every curated column says what it is: a name by the rules, a description, a unit; each solution is an exposure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.control_plan.derive import characteristics, column_of
from pipelines.control_plan.site import load_site
from pipelines.control_plan.units import UNITS_BY_SUFFIX, suffix_of
from pipelines.curation.contracts import PROJECT, mart_models, schema_files

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
SOLUTIONS = PROJECT.parent / "orchestration" / "defs"
NAME = re.compile(r"[a-z][a-z0-9]*(_{1,2}[a-z0-9]+)*")
NUMBERS = {"double", "float", "real", "decimal", "integer", "bigint"}
# A number without a unit says instead what it counts, numbers or divides.
PURE = re.compile(r"\b(rate unit|0 to 1|above 1|[Nn]umber|from 1|[Pp]ieces|[Cc]ells|Those|[Hh]ours|relative)\b")


def _models() -> dict[str, dict[str, Any]]:
    # The C loader: pure Python takes five seconds for these.
    contents = [yaml.load(content, Loader=yaml.CSafeLoader) for content in schema_files(SITE).values()]
    return {model["name"]: model for content in contents for model in content.get("models", [])}


MODELS = _models()


def _spelled(unit: str) -> str:
    return rf"\bin {re.escape(unit)}(?![\w/])"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_column_has_a_name_by_the_rules_and_a_description(name: str) -> None:
    for column in MODELS[name]["columns"]:
        assert NAME.fullmatch(column["name"]), column["name"]
        assert column["description"].strip().endswith("."), column["name"]


@pytest.mark.parametrize("name", sorted(mart_models(SITE)))
def test_every_number_of_a_mart_says_its_unit_and_its_name_agrees(name: str) -> None:
    for column in MODELS[name]["columns"]:
        if column["data_type"] not in NUMBERS:
            continue
        text, suffix = column["description"], suffix_of(column["name"])
        said = re.search(r"\bin (?:[A-Z]{2}\$|\S)\S*", text)
        assert said or PURE.search(text), f"{column['name']}: {text}"
        if "_usd" in column["name"]:
            assert "in US$" in text, f"{column['name']}: {text}"
        elif suffix is not None and not PURE.search(text):
            units = UNITS_BY_SUFFIX[suffix]
            assert any(re.search(_spelled(unit), text) for unit in units), f"{column['name']}: {text}"


@pytest.mark.parametrize("feed", sorted(SITE.feeds))
def test_a_staged_characteristic_is_described_with_the_unit_of_the_plan(feed: str) -> None:
    if SITE.feeds[feed].shape != "wide":
        pytest.skip("its values are in unit_code")
    described = {column["name"]: column["description"] for column in MODELS[f"stg_{feed}"]["columns"]}
    for row in characteristics(SITE, feed):
        assert re.search(_spelled(row.unit), described[column_of(SITE, row)]), row.code


def _solutions() -> dict[str, Path]:
    return {path.parent.name: path for path in SOLUTIONS.glob("*/*/defs.yaml")}


def test_every_solution_is_an_exposure_and_every_exposure_a_solution() -> None:
    exposures = yaml.safe_load((PROJECT / "models" / "exposures.yml").read_text(encoding="utf-8"))["exposures"]
    labels = {each["name"]: each["label"] for each in exposures}
    assert labels == {slug: f"{path.parent.parent.name}/{slug}" for slug, path in _solutions().items()}


@pytest.mark.parametrize("slug", sorted(_solutions()))
def test_an_exposure_names_every_mart_that_its_solution_reads(slug: str) -> None:
    exposures = yaml.safe_load((PROJECT / "models" / "exposures.yml").read_text(encoding="utf-8"))["exposures"]
    [exposure] = [each for each in exposures if each["name"] == slug]
    text = _solutions()[slug].read_text(encoding="utf-8")
    reads = set(re.findall(r"\bmarts\.(\w+)", text))
    assert reads or re.search(r"^  table: \w+\.csv$", text, re.MULTILINE)
    assert reads <= set(re.findall(r"ref\('(\w+)'\)", " ".join(exposure["depends_on"])))
