"""Schema files and plan data: current, complete, and blind to what a step cannot know."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.control_plan.derive import columns_known_at
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PIT_VIEWS, PROJECT, about, differing, mart_models, plan_data_of, schema_files
from pipelines.curation.run import curate
from pipelines.lake.home import Home

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")


def test_the_schema_files_in_the_repository_are_current() -> None:
    assert differing(schema_files(SITE)) == []


def test_every_column_is_described_and_every_mart_says_its_grain() -> None:
    for name, model in mart_models(SITE).items():
        assert "One row per" in model["description"], name
        assert all(column["description"].strip() for column in model["columns"]), name


def test_a_column_without_a_description_is_refused() -> None:
    with pytest.raises(CellworksError, match="no description"):
        about("frobnication")


@pytest.mark.parametrize("step", PIT_VIEWS)
def test_a_step_shows_no_more_than_the_plan_allows(step: str) -> None:
    data = plan_data_of(SITE)
    measured = {entry["code"] for entry in data["cell"]}
    visible = {entry["code"] for entry in data["cell_at"][step]} & measured
    assert visible <= set(columns_known_at(SITE, "cell", step))


@pytest.mark.parametrize("step", PIT_VIEWS)
def test_no_target_is_in_a_point_in_time_view(step: str) -> None:
    names = {column["name"] for column in mart_models(SITE)[f"cell_at_{step}"]["columns"]}
    assert not names & {
        "is_premium",
        "grade_code",
        "final_grade_code",
        "cost_to_come_usd_per_kwh",
        "scrapped_step_code",
    }


def test_an_unknown_layer_or_domain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CellworksError, match="no such domain"):
        curate(Home(tmp_path), SITE, layer="staging", domain="kpi")
