"""Dose and soak by their worth as answers: what is known by now counts, and what is said where nothing is moved."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.context import ModelContext
from models.optimizer.expected_value import advise, answer
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.reading import Course, no_moves
from models.optimizer.setpoint_search import moved_of
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from orchestration.catalogue import find
from orchestration.environment import default_site
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.home import Home

CELLS, GRADED = 6000, 5000
BEGIN = datetime(2026, 9, 1)  # noqa: DTZ001 - UTC as everywhere in the lake
NOW = BEGIN + timedelta(days=20)


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


def asked(
    site: Site, folder: Path, effect: float, *, now: datetime = NOW, late_effect: float = 0.0
) -> RuleAnswers | None:
    """The answer where an hour of soak brings so many Ah; grades that come after `NOW` tell of another effect."""
    rng = np.random.default_rng(3)
    soak, dose = rng.normal(36, 4, CELLS), rng.normal(3730, 2, CELLS)
    slope = np.where(np.arange(CELLS) < GRADED, effect, late_effect)
    at = np.datetime64(BEGIN, "us") + (np.arange(CELLS) * 19.9 / CELLS * 86400e6).astype("timedelta64[us]")
    known = np.where(np.arange(CELLS) < GRADED, at, np.datetime64(NOW + timedelta(days=5), "us"))
    cell = [f"C{no:09d}" for no in range(CELLS)]
    cells = {"line_code": ["L1"] * CELLS, "cell_id": cell, "entered_at": at, "fill_mass_g": dose, "soak_h": soak}
    labels = {
        "cell_id": cell,
        "grading_known_at": known,
        "capacity_ah": 1190 + slope * (soak - 36) + rng.normal(0, 8, CELLS),
        "wetting_index": np.full(CELLS, 0.95),
    }
    for name, table in (("cells", cells), ("labels", labels)):
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    spec = find("assembly/filling_optimizer")
    assert isinstance(spec, OptimizerSpec)
    assert isinstance(spec.optimizer, ExpectedValue)
    kind = spec.optimizer.over({"marts.cell_label": str(folder / "labels.parquet")})
    own = spec.model_copy(update={"table": str(folder / "cells.parquet"), "optimizer": kind, "domain": None})
    return answer(own, kind, ModelContext(Home(folder), site), now)


def test_the_set_point_that_saves_most_is_moved_and_the_answer_is_of_the_newest_cell(
    site: Site, tmp_path: Path
) -> None:
    found = asked(site, tmp_path, 1.5)
    assert found is not None
    assert all(passed for passed, _ in found.checks.values()), found.checks
    assert found.keys["cell_id"].to_pylist() == [f"C{CELLS - 1:09d}"]
    assert found.answers["class"] == ["move"]
    assert found.answers["is_flagged"] == [True]
    [move] = found.further["move"].to_pylist()
    assert move["characteristic_code"] == "soak_h"
    assert move["proposed_value"] > move["current_value"]
    assert json.loads(found.answers["reasons"][0])[0]["limit"].startswith("US$ an item of set-points and misses; now")


def test_what_is_not_known_by_now_changes_nothing(site: Site, tmp_path: Path) -> None:
    first, second = asked(site, tmp_path, 1.5), asked(site, tmp_path, 1.5, late_effect=-9.0)
    assert first is not None
    assert second is not None
    assert first.answers == second.answers


def test_hours_that_bring_nothing_are_saved(site: Site, tmp_path: Path) -> None:
    found = asked(site, tmp_path, 0.0)
    assert found is not None
    [move] = found.further["move"].to_pylist()
    assert (move["characteristic_code"], found.answers["class"]) == ("soak_h", ["move"])
    assert move["proposed_value"] < move["current_value"]
    assert move["cost"] - move["cost_after"] == pytest.approx(0.011 * (move["current_value"] - move["proposed_value"]))


@pytest.mark.parametrize(("days", "said"), [(2.5, "stale"), (-19.5, "too_few")])
def test_why_nothing_is_moved_is_said(site: Site, tmp_path: Path, days: float, said: str) -> None:
    found = asked(site, tmp_path, 1.5, now=NOW + timedelta(days=days))
    assert found is not None
    assert (found.answers["class"], found.answers["is_flagged"]) == ([said], [False])


def test_before_any_cell_there_is_no_answer(site: Site, tmp_path: Path) -> None:
    assert asked(site, tmp_path, 1.5, now=BEGIN - timedelta(days=1)) is None


def test_cells_of_before_a_move_are_counted_as_they_would_be_now(site: Site) -> None:
    spec = find("assembly/filling_optimizer")
    assert isinstance(spec, OptimizerSpec)
    assert isinstance(spec.optimizer, ExpectedValue)
    dose, soak = (moved_of(site, name, None, "", no_moves(), "here") for name in ("fill_mass_g", "soak_h"))
    rng = np.random.default_rng(3)
    values = np.column_stack([rng.normal(3730, 2, GRADED), rng.normal(36, 4, GRADED)])
    capacity = 1190 + 1.5 * (values[:, 1] - 36) + rng.normal(0, 8, GRADED)
    outcomes = np.column_stack([capacity, np.full(GRADED, 0.95), values[:, 0]])
    at_s = np.arange(GRADED, dtype=float)
    changed_s, were = np.append(soak.course.changed_s, GRADED + 1.0), np.append(soak.course.values, 38.0)
    longer = replace(soak, course=Course(changed_s, were, soak.course.moves))
    before, after = (
        advise(spec.optimizer, [dose, one], values, outcomes, at_s, GRADED + 2.0).cost for one in (soak, longer)
    )
    assert longer.setpoint == soak.setpoint + 2
    assert after - 2 * 0.011 < before, "two hours more leave fewer cells below grade A"
