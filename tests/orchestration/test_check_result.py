"""What Dagster shows of a table's suite."""

from __future__ import annotations

import dagster as dg

from expectations.report import FailedExpectation, TableReport
from orchestration.assets.checks import check_result


def failed(count: int) -> FailedExpectation:
    samples = tuple({"cell_id": f"C{number}", "fill_mass_g": 9000.0 + number} for number in range(min(count, 12)))
    return FailedExpectation(
        expectation="expect_column_values_to_be_between",
        title="fill_mass_g is within 1000 to 6000",
        domain="process",
        layer="staging",
        table="stg_mes__filling",
        column="fill_mass_g",
        kwargs={"column": "fill_mass_g", "min_value": 1000.0, "max_value": 6000.0},
        count=count,
        samples=samples,
    )


def test_a_failed_expectation_is_shown_with_its_count_and_ten_rows() -> None:
    result = check_result("staging", "stg_mes__filling", TableReport("stg_mes__filling", 40, 39, (failed(37),)))
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert result.asset_key == dg.AssetKey(["staging", "stg_mes__filling"])
    assert "fill_mass_g is within 1000 to 6000" in (result.description or "")
    shown = str(result.metadata["failures"].value)
    assert "expect_column_values_to_be_between" in shown
    assert "37 rows" in shown
    assert shown.count("fill_mass_g': 90") == 10
    assert (result.metadata["checked"].value, result.metadata["failed"].value) == (40, 1)


def test_what_could_not_be_computed_says_why() -> None:
    broken = FailedExpectation("expect_x", "x", "process", "raw", "t", "", {}, 0, error="no function matches")
    shown = str(check_result("raw", "t", TableReport("t", 1, 0, (broken,))).metadata["failures"].value)
    assert "no function matches" in shown


def test_a_table_that_held_tells_since_when() -> None:
    result = check_result("raw", "t", TableReport("t", 12, 12, asked=3, since=41))
    assert result.passed
    assert "failures" not in result.metadata
    assert result.metadata["held_since_snapshot"].value == "41"
    assert result.metadata["asked"].value == 3


def test_a_table_without_a_suite_passes_with_nothing_checked() -> None:
    result = check_result("marts", "t", None)
    assert result.passed
    assert result.metadata["checked"].value == 0
