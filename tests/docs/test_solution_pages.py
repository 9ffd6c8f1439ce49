"""Pages of the solutions are made of the JSON that `cellworks evaluate --all --docs` writes, and of nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from orchestration.catalogue import discover
from orchestration.environment import default_site
from orchestration.evaluation import catalogue, page
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.registry import of_row
from pipelines.control_plan.site import load_site

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> Any:
    """The generator, which lies beside the pages and in no package."""
    spec = importlib.util.spec_from_file_location("solution_pages", ROOT / "docs" / "_reference" / "solution_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_solution_has_a_page_with_its_figure_and_the_line_it_misses(pages: Any, tmp_path: Path) -> None:
    absent = next(row for row in catalogue.rows() if row.slug == "plant_assistant")
    specs = [spec for spec in discover() if spec.solution not in absent.parts]  # as where one is not there yet
    lines = [Line("at least 0.70", "concordance 0.628", is_met=False), Line("all", "12 | 12 rows", is_met=True)]
    figures: dict[str, Any] = {"examples": [{"asked": "oee", "said": "OEE was 71.3%.", "rows": "marts.kpi_day"}]}
    found = verdict(
        lines, metric="concordance on later lives", value=0.628, baseline=0.66, interval=(0.57, 0.68), figures=figures
    )
    every = {spec.solution: found for spec in specs}
    rows = [of_row(row, specs, every) for row in catalogue.rows()]
    page.write(rows, specs, Ground(load_site(default_site())), tmp_path)
    told = pages.measured(tmp_path / page.JSON)
    written = pages.pages(told)
    assert len(written) == 49
    index = written["solutions/index.md"]
    failing = sum(row["verdict"] == "failing" for row in rows)
    assert f"0 work, {failing} fail a line and {48 - failing} were not run" in index
    shown = written["solutions/predictive_maintenance.md"]
    for part in ("0.628", "0.57 to 0.68", "concordance 0.628 | at least 0.70 | **no**", "12 / 12 rows | all | yes"):
        assert part in shown
    assert "| oee | OEE was 71.3%. | marts.kpi_day |" in shown
    assert "## equipment/machine_life: **failing**" in shown
    assert "not run: no folder yet." in written[f"solutions/{absent.slug}.md"]
    assert f"`orchestration/defs/{absent.parts[0]}`" in written[f"solutions/{absent.slug}.md"]
    listed = [each for entry in pages.nav(told)[1:] for part in entry.values() for each in part]
    assert sorted([*listed, "solutions/index.md"]) == sorted(written)


def test_before_anybody_measured_there_is_one_page_that_says_how(pages: Any, tmp_path: Path) -> None:
    written = pages.pages(pages.measured(tmp_path / "solutions.json"))
    assert list(written) == pages.nav(None) == ["solutions/index.md"]
    assert "cellworks evaluate --all --docs docs" in written["solutions/index.md"]


def test_no_page_names_a_folder_of_the_machine_that_measured(tmp_path: Path) -> None:
    specs = discover()
    found = verdict([Line("all", "all", is_met=True)])
    rows = [of_row(row, specs, {spec.solution: found for spec in specs}) for row in catalogue.rows()]
    page.write(rows, specs, Ground(load_site(default_site())), tmp_path)
    for text in ((tmp_path / page.JSON).read_text(), (ROOT / "docs" / page.JSON).read_text()):
        assert str(ROOT) not in text
        assert '"trials.csv"' in text
