"""How sizes grow: the fit and the plan on figures with a known answer, the site of several lines, and one small run."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.environment import default_site
from orchestration.scale.growth import growth, size_at
from orchestration.scale.lines import write_site
from orchestration.scale.outcomes import growths, outcomes
from orchestration.scale.page import page, write
from orchestration.scale.plan import BUSY_SHARE, NIGHT_S, SITES, figure_at, night_of, plan
from orchestration.scale.run import measure
from orchestration.scale.stages import FOUNDATION, FULL, SMALL, STAGES, measure_plant
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home

GIB = 2**30
LINES = (1, 3, 10)


@settings(deadline=None)  # the first example imports scipy
@given(st.floats(0.0, 2.0), st.floats(0.1, 1000.0))
def test_a_power_law_is_found_again_with_no_doubt(exponent: float, first: float) -> None:
    found = growth(LINES, [first * lines**exponent for lines in LINES])
    assert found.exponent == pytest.approx(exponent, abs=1e-6)
    assert found.last == pytest.approx(exponent, abs=1e-6)
    assert found.high - found.low < 1e-4


def test_the_interval_of_three_points_is_students_with_one_degree_of_freedom() -> None:
    # x = 0, 1, 2 and y = 0, 1, 3 in logarithms to the base 10: slope 1.5, residual variance 1/6, Sxx 2, t 12.706.
    sizes = [1, 10, 100]
    found = growth(sizes, [math.exp(each) for each in (0.0, math.log(10), 3 * math.log(10))])
    assert found.exponent == pytest.approx(1.5)
    assert found.high - found.exponent == pytest.approx(12.706 * math.sqrt(1 / 6 / 2), rel=1e-3)
    assert found.last == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("lines", "figures"), [([1, 3], [1.0, 3.0]), ([1, 3, 3], [1.0, 2.0, 3.0]), ([1, 3, 10], [1.0, 0.0, 3.0])]
)
def test_too_few_sizes_and_figures_without_a_logarithm_are_refused(lines: list[int], figures: list[float]) -> None:
    with pytest.raises(ValueError, match=r"found|logarithm"):
        growth(lines, figures)


def test_a_limit_is_reached_where_the_power_law_says() -> None:
    assert size_at(2.0, 0.5, 10, 4.0) == pytest.approx(40)
    assert size_at(2.0, 0.0, 10, 4.0) == math.inf


def told(*, exponent: float = 1.0, gib: float = 0.1, lacking: tuple[str, int] | None = None) -> dict[str, Any]:
    """Figures of plants whose every stage takes 6 s and `gib` with one line and grows as lines^exponent."""
    plants = []
    for lines in LINES:
        rows = [
            {
                "stage": stage,
                "lines": lines,
                "seconds": 6 * lines**exponent,
                "cpu_seconds": 9 * lines**exponent,
                "peak_bytes": gib * GIB * lines**exponent,
                "lake_bytes": 10**9 * lines,
                "told": {
                    "back_seconds": [0.2],
                    "onward_seconds": [0.1, 0.3],
                    "cells": 40_000 * lines,
                    "failed": 0,
                    "rows": 42_000 * lines,
                    "explained": 1_000,
                    "trees": 110,
                    "leaves": 880 * lines,
                    "phases": {"read": 1.5, "explain": 0.25 * lines},
                },
            }
            for stage in STAGES
            if (stage, lines) != lacking
        ]
        plants.append(
            {
                "lines": lines,
                "simulated": {"cells_started": 40_000 * lines, "seconds": 20.0, "seed": 1},
                "measured": rows,
                "failed": {lacking[0]: "out of memory"} if lacking and lacking[1] == lines else {},
                "lake": {"bytes": 3.4e9 * lines, "bytes_by_minute": 2e9 * lines, "control_points": 5000 * lines},
                "home_bytes": 10**9,
            }
        )
    machine = {"cores": 2, "memory_gib": 24.0, "processor": "a", "system": "b", "python": "3", "at": "now"}
    found: dict[str, Any] = {
        "plants": plants,
        "not_begun": {},
        "machine": {**machine, "load_before": [0.1], "packages": {"duckdb": "1"}},
        "threads": 2,
        "memory_limit": "2500MB",
        "size": {**vars(FULL), "lines": LINES},
        "command": "cellworks scale",
    }
    found["growth"] = growths(found)
    found["plan"] = plan(found)
    found["outcomes"] = outcomes(found)
    return found


def test_a_figure_is_as_measured_between_sizes_on_the_law_and_beyond_by_the_steeper_slope() -> None:
    found = told(exponent=0.5)
    assert figure_at(found, "curation", "seconds", 3) == pytest.approx(6 * 3**0.5)
    assert figure_at(found, "curation", "seconds", 5) == pytest.approx(6 * 5**0.5)
    assert figure_at(found, "curation", "seconds", 90) == pytest.approx(6 * 90**0.5)


def test_the_start_of_a_process_does_not_flatten_the_plan() -> None:
    found = told()
    for plant in found["plants"]:
        for row in plant["measured"]:
            row["seconds"] = 5.0 + row["lines"]
    found["growth"] = growths(found)
    grown = found["growth"]["curation"]["seconds"]
    assert grown["last"] == pytest.approx(math.log(15 / 8) / math.log(10 / 3))
    assert grown["exponent"] < grown["last"] == grown["steepest"]
    assert figure_at(found, "curation", "seconds", 100) == pytest.approx(15 * 10 ** grown["last"])


def test_the_plan_is_the_arithmetic_that_it_shows() -> None:
    found = told()
    night, solutions = night_of(found, 10), found["plan"]["assumed"]["solutions"]
    assert night.data_s == pytest.approx(180)
    assert night.learn_cpu_s == pytest.approx(180)
    assert night.seconds(solutions, 2) == pytest.approx(180 + solutions * 180 / 1.4)
    ten = next(each for each in found["plan"]["machines"] if each["layout"] == "1 site, 10 lines")
    assert ten["exact"] == pytest.approx(solutions * 180 / ((NIGHT_S - 180) * BUSY_SHARE))
    assert night.seconds(solutions, ten["cores"]) <= NIGHT_S < night.seconds(solutions, ten["cores"] - 1)
    assert ten["gib"] == pytest.approx(ten["cores"] * 1.0 / 0.8)
    shared = found["plan"]["machines"][3]
    assert shared["exact"] == pytest.approx(SITES * (27 + solutions * 18) / (NIGHT_S * BUSY_SHARE))
    assert found["plan"]["disk"]["by_minute_bytes"] == pytest.approx(1e9)
    assert found["plan"]["disk"]["other_bytes"] == pytest.approx(1e8)
    # 5,000 points a line of 2^31 numbers: 50,000 clash with 1 - exp(-0.582)
    assert found["plan"]["clash"][2]["chance"] == pytest.approx(0.4413, abs=1e-3)
    assert found["plan"]["clash"][2]["pairs"] == pytest.approx(0.5821, abs=1e-3)


def test_this_machine_ends_where_memory_or_the_night_do() -> None:
    found = told(gib=0.5)
    memory, end = found["plan"]["outgrown"]["memory"], found["plan"]["outgrown"]["night"]
    assert memory["lines"] == pytest.approx(0.8 * 24 / 2 / 0.5)  # two solutions side by side fill it before the data do
    assert memory["stage"].startswith(("training_", "scoring_"))
    solutions = found["plan"]["assumed"]["solutions"]
    assert night_of(found, end["lines"]).seconds(solutions, 2) <= NIGHT_S
    assert night_of(found, end["lines"] + 1).seconds(solutions, 2) > NIGHT_S


def test_where_the_data_alone_take_longer_than_a_night_no_machine_is_named() -> None:
    found = told(exponent=3.0)
    ten = next(each for each in found["plan"]["machines"] if each["layout"] == "1 site, 10 lines")
    assert ten["instance"] is None
    assert "its data alone take longer" in page(found)


def test_what_grows_too_fast_or_fills_the_machine_or_did_not_run_is_not_met() -> None:
    assert all(each["passed"] for each in told()["outcomes"])
    steep = {each["name"]: each["passed"] for each in told(exponent=1.3)["outcomes"]}
    assert not steep["curation: CPU time"]
    broken = told()
    broken["plants"][2]["measured"][2]["told"]["failed"] = 3
    assert {each["name"] for each in outcomes(broken) if not each["passed"]} == {"checks: all hold"}
    full = {each["name"]: each["passed"] for each in told(gib=2.0)["outcomes"]}
    assert not full["charts: memory"]
    lacking = told(lacking=("checks", 10))
    ran = next(each for each in lacking["outcomes"] if each["name"] == "checks: ran")
    assert not ran["passed"]
    assert "out of memory" in ran["found"]
    assert "checks" not in lacking["growth"]
    assert lacking["plan"] == {}
    assert "No plan" in page(lacking)


def test_the_page_holds_the_figures_and_the_sums(tmp_path: Path) -> None:
    found = told()
    write(found, tmp_path)
    text = (tmp_path / "scale.md").read_text(encoding="utf-8")
    assert "| curation | 6 | 18 | 60 | 9 | 27 | 90 |" in text
    assert f"{found['plan']['assumed']['solutions']} x 180.0 CPU s / ((7,200 - 180) s x 0.7)" in text
    assert "| 100 | planned |" in text
    assert "| 50,000 | 44.1% | 0.58 |" in text
    assert "| scoring_machine_life | 10 | 420,000 | 1,000 | 110 | 8,800 | read 1.5, explain 2.5 |" in text
    assert "| curation: CPU time | yes | lines to the power of 1.00 |" in text
    assert "1 x 40,000 cells 0.30 s (1 cells and 2 lots answered)" in text


def test_a_site_of_three_lines_has_every_machine_three_times_under_names_of_its_own(tmp_path: Path) -> None:
    one, three = load_site(default_site()), load_site(write_site(default_site(), tmp_path, 3))
    assert len(three.plan.machines) == 3 * len(one.plan.machines)
    once, threefold = ([each for each in site.plan.points if each.machine] for site in (one, three))
    assert len(threefold) == 3 * len(once)
    assert len(three.machines_by_id) == len(three.plan.machines)
    assert {each.id for each in one.machines()} <= set(three.machines_by_id)
    for machine_class in {each.machine_class for each in one.machines()}:
        assert len(three.machines(machine_class)) == 3 * len(one.machines(machine_class))
        assert {each.line for each in three.machines(machine_class)} == {"L1", "L2", "L3"}
    assert three.standard.cells_per_day == 3 * one.standard.cells_per_day
    assert three.operators_per_shift == 3 * one.operators_per_shift


def test_a_site_that_has_several_lines_is_not_multiplied(tmp_path: Path) -> None:
    three = write_site(default_site(), tmp_path, 3)
    with pytest.raises(CellworksError, match="only a site of one line"):
        write_site(three, tmp_path / "again", 2)


@pytest.mark.slow
def test_a_stage_that_fails_is_told_and_loses_no_other(tmp_path: Path) -> None:
    size = replace(SMALL, days=1, telemetry_days=1, scale=0.01, stages=("ingestion", "genealogy"))
    said: list[str] = []
    found = measure_plant(tmp_path, 2, size, said.append)
    assert said == ["2 lines: simulating 1 days, 1 of them by the minute", "2 lines: ingestion", "2 lines: genealogy"]
    (ingestion,) = found.measured
    assert ingestion.cpu_seconds > 0.5
    assert ingestion.peak_bytes > 10**8
    assert ingestion.lake_bytes > 10**5
    assert found.lake["rows_raw"] == ingestion.told["rows"]
    assert 0 < found.lake["bytes_by_minute"] < found.lake["bytes"]
    assert "nothing is published" in found.failed["genealogy"]


@pytest.mark.long
def test_small_plants_are_measured_and_nothing_is_left_behind(tmp_path: Path) -> None:
    size = replace(SMALL, days=1, telemetry_days=1, scale=0.01, stages=("ingestion",))
    found = measure(Home(tmp_path), size, lambda _: None)
    assert [plant["lines"] for plant in found["plants"]] == [1, 2, 3]
    cells = [plant["simulated"]["cells_started"] for plant in found["plants"]]
    assert cells[2] == pytest.approx(3 * cells[0], rel=0.15)
    assert [each["passed"] for each in found["outcomes"] if each["name"] == "ingestion: ran"] == [True]
    assert found["plan"] == {}
    assert not list((tmp_path / "scale").iterdir())


def test_the_stages_that_the_night_needs_come_first() -> None:
    assert tuple(STAGES)[: len(FOUNDATION)] == tuple(FOUNDATION)


def test_control_points_that_would_have_one_number_are_given_others(tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(default_site(), base)
    text = (base / "site.yaml").read_text(encoding="utf-8")
    for machines in ("notcher_c1..2", "dehumidifier_1..3"):  # of each, one that hashes to 822214622 comes with line two
        first, last = {"n": (26, 50), "d": (36, 70)}[machines[0]]
        assert text.count(f"ids: [{machines}]") == 1
        text = text.replace(f"ids: [{machines}]", f"ids: [{machines.split('1..')[0]}{first}..{last}]")
    (base / "site.yaml").write_text(text, encoding="utf-8")
    points = {each.id: each.no for each in load_site(write_site(base, tmp_path / "grown", 2)).plan.points}
    assert points["notcher_c51.cathode_heat_zone_um"] == 822214622
    assert points["dehumidifier_71.rotor_fan_hz.fan1"] == 381763357
