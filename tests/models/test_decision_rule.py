"""Decisions by rule, from rows to the lake: lots by their samples, cells beside their peers, classes by limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from models.context import ModelContext
from models.decision_rule.score import score
from models.decision_rule.spec import DecisionSpec
from models.scoring.rule import rule_version
from models.scoring.score import ScoreReport
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.product import Limits
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.sampling.iso2859 import plan_for

START = np.datetime64("2026-01-01T00:00:00", "us")
DAY = np.timedelta64(1, "D")
SITE = Path(__file__).parents[2] / "infra" / "sites" / "demo"


@pytest.fixture
def ctx(tmp_path: Path) -> ModelContext:
    """A context over files in a fresh instance, without a registry: a rule needs none."""
    return ModelContext(Home(tmp_path / "home").ensure(), n_threads=1)


def spec_of(table: str | Path, kind: dict[str, Any], **changes: Any) -> DecisionSpec:
    content: dict[str, Any] = {
        "stage": "incoming",
        "slug": "decided",
        "question": "?",
        "table": str(table),
        "keys": ["id"],
        "time": "at",
    }
    return DecisionSpec.model_validate(content | kind | changes)


def write(folder: Path, columns: dict[str, Any]) -> Path:
    """A table of rows by `id`, a day apart where it has no moments."""
    count = len(next(iter(columns.values())))
    rows = {"id": [f"R{number:04d}" for number in range(count)], "at": START + np.arange(count) * DAY, **columns}
    pq.write_table(pa.table(rows), folder / "rows.parquet")
    return folder / "rows.parquet"


def told(ctx: ModelContext, table: str = "decided") -> list[dict[str, Any]]:
    """All rows of a table of answers, as they were written."""
    with reader(ctx.home) as con:
        return con.execute(f"SELECT * FROM solutions.{table} ORDER BY scored_at, 1").to_arrow_table().to_pylist()


def decisions(ctx: ModelContext) -> dict[str, str | None]:
    """The newest decision by row."""
    return {each["id"]: each["class"] for each in told(ctx)}


def passed(report: ScoreReport) -> dict[str, bool]:
    return {name: is_passed for name, (is_passed, _) in report.checks.items()}


SAMPLING = {"sampling": {"lot_size": "units", "inspected": "n", "nonconforming": "bad", "of": ["supplier"], "aql": 1.0}}
PLAN = plan_for(2000, 1.0)


def lots(verdicts: str, supplier: str = "S1") -> dict[str, Any]:
    """Lots of 2,000: `a` without a bad unit, `r` with one too many by any plan, `w` whose sample is not complete."""
    return {
        "units": [2000] * len(verdicts),
        "n": [PLAN.size - (each == "w") for each in verdicts],
        "bad": [PLAN.reject if each == "r" else 0 for each in verdicts],
        "supplier": [supplier] * len(verdicts),
    }


def test_lots_are_judged_by_the_plan_that_the_lots_before_call_for(ctx: ModelContext, tmp_path: Path) -> None:
    spec = spec_of(write(tmp_path, lots("arrawa")), SAMPLING)
    report = score(spec, ctx)
    assert [each["class"] for each in told(ctx)] == [
        "accepted",
        "rejected",
        "rejected",
        "accepted",
        None,
        "accepted",
    ]
    assert [each["is_flagged"] for each in told(ctx)] == [False, True, True, False, False, False]
    reasons = [json.loads(each["reasons"]) for each in told(ctx)]
    assert reasons[1][0] == {
        "feature": "bad",
        "value": PLAN.reject,
        "limit": "at most 3 by normal inspection, AQL 1 %, level II",
    }
    assert reasons[3][0]["limit"] == "at most 2 by tightened inspection, AQL 1 %, level II"
    assert reasons[4] == [{"feature": "n", "value": 124.0, "limit": "125 are to be inspected"}]
    [state] = told(ctx, "decided_state")
    assert (state["lots_of"], state["state"], state["model_version"]) == ("S1", "tightened", report.version)


def test_inspection_switches_for_each_supplier_by_itself(ctx: ModelContext, tmp_path: Path) -> None:
    both = {
        name: [*one, *other] for (name, one), other in zip(lots("rr").items(), lots("aaa", "S2").values(), strict=True)
    }
    score(spec_of(write(tmp_path, both), SAMPLING), ctx)
    states = {each["lots_of"]: each["state"] for each in told(ctx, "decided_state")}
    assert states == {"S1": "tightened", "S2": "normal"}


def test_a_discontinued_supplier_is_stopped_until_inspection_resumes(ctx: ModelContext, tmp_path: Path) -> None:
    file = write(tmp_path, lots("rrrrrrr" + "aaa"))
    score(spec_of(file, SAMPLING), ctx)
    assert list(decisions(ctx).values()) == ["rejected"] * 7 + ["stopped"] * 3
    # A moment before the stop says nothing of it.
    for resumed, wanted in (
        ("2026-01-02", ["stopped"] * 3),
        ("2026-01-09T00:00:00Z", ["stopped", "accepted", "accepted"]),
    ):
        kind = {"sampling": SAMPLING["sampling"] | {"resumed": {"S1": [resumed]}}}
        score(spec_of(file, kind), ctx)
        assert list(decisions(ctx).values()) == ["rejected"] * 7 + wanted
    assert told(ctx, "decided_state")[-1]["state"] == "tightened"


def test_a_lot_whose_plan_is_not_held_waits_and_says_so(ctx: ModelContext, tmp_path: Path) -> None:
    columns = lots("rra")
    columns["units"][2] = 200
    score(spec_of(write(tmp_path, columns), SAMPLING), ctx)
    assert list(decisions(ctx).values()) == ["rejected", "rejected", None]
    assert "the tightened plan for a lot of 200 at AQL 1 % is not held here" in told(ctx)[-1]["reasons"]


def test_counts_that_cannot_be_are_not_judged(ctx: ModelContext, tmp_path: Path) -> None:
    columns = {"units": [2000, 2000, None], "n": [125, 3000, 125], "bad": [126, 0, 0], "supplier": ["S1"] * 3}
    score(spec_of(write(tmp_path, columns), SAMPLING), ctx)
    assert list(decisions(ctx).values()) == [None] * 3


SCREEN = {"screen": {"column": "k", "group": ["tray"], "chance": 0.01}}


def trays(count: int = 40, size: int = 12) -> dict[str, Any]:
    """Good cells in trays that lie at different levels."""
    rng = np.random.default_rng(4)
    tray = np.repeat(np.arange(count), size)
    return {"tray": tray, "k": 1.0 + 0.5 * tray + rng.normal(0, 0.1, count * size), "at": np.full(count * size, START)}


def test_a_cell_far_from_its_tray_is_held_though_others_lie_higher(ctx: ModelContext, tmp_path: Path) -> None:
    columns = trays()
    columns["k"][5] += 3.0
    report = score(spec_of(write(tmp_path, columns), SCREEN), ctx)
    found = {each["id"]: each for each in told(ctx)}
    outlier = found["R0005"]
    assert (outlier["class"], outlier["is_flagged"]) == ("outlier", True)
    assert outlier["value"] > 2
    [reason] = json.loads(outlier["reasons"])
    assert reason["feature"] == "k"
    assert "among 12 peers" in reason["limit"]
    assert report.flagged <= 3
    assert passed(report) == {"decided": True, "flagged_ratio": True, "stands": True}


@pytest.mark.parametrize(("side", "held"), [("above", set()), ("below", {"R0005"}), ("both", {"R0005"})])
def test_the_side_that_is_looked_at(side: str, held: set[str], ctx: ModelContext, tmp_path: Path) -> None:
    columns = trays(1)
    columns["k"][5] -= 3.0
    score(spec_of(write(tmp_path, columns), {"screen": SCREEN["screen"] | {"side": side}}), ctx)
    assert {name for name, decision in decisions(ctx).items() if decision == "outlier"} == held


def test_on_a_logarithmic_scale_what_spreads_by_factors_is_good(ctx: ModelContext, tmp_path: Path) -> None:
    columns = trays(200)
    columns["k"] = np.exp(np.random.default_rng(5).normal(-3, 0.6, 200 * 12))
    columns["k"][0] = -1.0
    flagged = {}
    for scale in ("linear", "log"):
        spec = spec_of(write(tmp_path, columns), {"screen": SCREEN["screen"] | {"scale": scale}})
        flagged[scale] = score(spec, ctx).flagged
    assert flagged["log"] <= 8 < 2 * flagged["log"] + 8 < flagged["linear"]
    assert decisions(ctx)["R0000"] is None, "a logarithm of what is not positive tells nothing"


def test_what_lacks_peers_waits_and_is_decided_when_they_come(ctx: ModelContext, tmp_path: Path) -> None:
    columns = {name: values[:5] for name, values in trays(1).items()}
    columns["k"] = [*columns["k"][:4], None]
    spec = spec_of(write(tmp_path, columns), SCREEN)
    first = score(spec, ctx)
    assert set(decisions(ctx).values()) == {None}
    assert passed(first)["decided"] is False
    assert json.loads(told(ctx)[0]["reasons"])[0]["limit"] == "4 peers, 8 are needed"
    write(tmp_path, trays(1))
    second = score(spec, ctx)
    assert second.rows == 12
    assert passed(second) == {"decided": True, "flagged_ratio": True, "stands": True}
    assert set(decisions(ctx).values()) == {"usual"}


def test_cells_of_no_tray_and_trays_without_spread_are_not_judged(ctx: ModelContext, tmp_path: Path) -> None:
    columns = trays(2)
    columns["tray"] = [None] * 12 + [1] * 12
    columns["k"][12:] = 1.0
    columns["k"][12] = 9.0
    score(spec_of(write(tmp_path, columns), SCREEN), ctx)
    assert set(decisions(ctx).values()) == {None}


GRADING = {
    "grading": {
        "grades": [
            {
                "name": "A",
                "limits": {"capacity_ah": {"at_least": 1175}, "acir_mohm": {"at_least": 0.08, "at_most": 0.12}},
            },
            {"name": "B", "limits": {"capacity_ah": {"at_least": 1150}}},
        ],
        "otherwise": "C",
        "flagged": ["C"],
    }
}


def test_a_row_is_of_the_first_class_whose_limits_it_keeps(ctx: ModelContext, tmp_path: Path) -> None:
    columns = {"capacity_ah": [1175.0, 1180, 1160, 1100, None], "acir_mohm": [0.12, 0.13, 0.1, 0.1, 0.1]}
    spec = spec_of(write(tmp_path, columns), GRADING, gates={"max_flagged_ratio": 0.2, "max_undecided_ratio": 0.2})
    report = score(spec, ctx)
    assert list(decisions(ctx).values()) == ["A", "B", "B", "C", None]
    assert [each["value"] for each in told(ctx)] == [1, 2, 2, 3, None]
    assert report.flagged == 1
    reasons = [json.loads(each["reasons"]) for each in told(ctx)]
    assert [part["feature"] for part in reasons[0]] == ["capacity_ah", "acir_mohm"]
    assert reasons[1] == [{"feature": "acir_mohm", "value": 0.13, "limit": "at least 0.08 and at most 0.12 for A"}]
    assert [part["limit"] for part in reasons[3]] == ["at least 1175 for A", "at least 1150 for B"]
    assert reasons[4] == [{"feature": "capacity_ah", "value": None, "limit": "is needed"}]
    assert passed(report) == {"decided": True, "flagged_ratio": True, "stands": True}


def test_grades_of_the_site_are_the_classes_and_their_limits_are_part_of_the_rule(
    ctx: ModelContext, tmp_path: Path
) -> None:
    site = load_site(SITE)
    keeps = {"capacity_ah": 1175.0, "acir_mohm": 0.12, "dcir_mohm": 0.36, "k_value_mv_h": 0.08}
    keeps |= {"thickness_mm": 65.8, "insulation_gohm": 1.0}
    cells = [keeps, keeps | {"k_value_mv_h": 0.0801}, keeps | {"dcir_mohm": 0.5}, keeps | {"capacity_ah": None}]
    columns = {name: pa.array([cell[name] for cell in cells], pa.float64()) for name in keeps}
    spec = spec_of(write(tmp_path, columns), {"grading": {"grades": "site", "flagged": ["B", "C"]}})
    planned = ModelContext(ctx.home, site, n_threads=1)
    report = score(spec, planned)
    assert list(decisions(ctx).values()) == ["A", "B", "C", None]
    assert report.flagged == 2
    assert json.loads(told(ctx)[1]["reasons"]) == [
        {"feature": "k_value_mv_h", "value": 0.0801, "limit": "at most 0.08 for A"}
    ]
    premium = site.grades[0].model_copy(update={"limits": site.grades[0].limits | {"dcir_mohm": Limits(max=0.3)}})
    stricter = site.model_copy(update={"grades": (premium, *site.grades[1:])})
    again = score(spec, ModelContext(ctx.home, stricter, n_threads=1))
    assert (again.rows, again.version != report.version) == (4, True)
    assert list(decisions(ctx).values()) == ["B", "B", "C", None]


def test_grades_of_a_site_that_are_not_there_are_told(ctx: ModelContext, tmp_path: Path) -> None:
    file = write(tmp_path, {"capacity_ah": [1180.0]})
    with pytest.raises(CellworksError, match="grades of the site") as error:
        score(spec_of(file, {"grading": {"grades": "site"}}), ctx)
    assert error.value.found == "no site"
    strange = spec_of(file, {"grading": {"grades": "site", "flagged": ["Z"]}})
    with pytest.raises(CellworksError, match="flagged names classes among A, B, C; found Z"):
        score(strange, ModelContext(ctx.home, load_site(SITE), n_threads=1))


def test_nothing_is_told_twice_and_a_correction_is_told_with_a_check(ctx: ModelContext, tmp_path: Path) -> None:
    columns = {"capacity_ah": [1180.0, 1160.0, 1160.0], "acir_mohm": [0.1, 0.1, 0.1]}
    spec = spec_of(write(tmp_path, columns), GRADING)
    assert score(spec, ctx).rows == 3
    again = score(spec, ctx)
    assert (again.rows, again.version, again.skipped) == (
        0,
        rule_version(spec, 1),
        "no row that it has not answered for",
    )
    write(tmp_path, columns | {"capacity_ah": [1180.0, 1100.0, 1160.0]})
    corrected = score(spec, ctx)
    assert corrected.rows == 1
    assert corrected.checks["stands"] == (False, "answers changed as rows came late or were corrected: 1")
    assert decisions(ctx) == {"R0000": "A", "R0001": "C", "R0002": "B"}


def test_another_rule_answers_for_every_row_and_its_texts_are_no_rule(ctx: ModelContext, tmp_path: Path) -> None:
    file = write(tmp_path, {"capacity_ah": [1180.0, 1160.0], "acir_mohm": [0.1, 0.1]})
    spec = spec_of(file, GRADING)
    reworded = spec_of(file, GRADING, question="Which class?", owner="team:cell-test", action={"kind": "route"})
    stricter = spec_of(file, {"grading": GRADING["grading"] | {"otherwise": "D", "flagged": []}})
    assert rule_version(spec, 1) == rule_version(reworded, 1) != rule_version(stricter, 1)
    assert rule_version(spec, 1) != rule_version(spec, 2)
    assert [score(each, ctx).rows for each in (spec, reworded, stricter, spec)] == [2, 0, 2, 2]


def test_a_rule_needs_no_registry(ctx: ModelContext, tmp_path: Path) -> None:
    score(spec_of(write(tmp_path, trays(1)), SCREEN), ctx)
    assert not Path(ctx.home.stores.mlflow_uri.removeprefix("sqlite:///")).exists()


def test_a_table_without_rows_waits(ctx: ModelContext, tmp_path: Path) -> None:
    file = write(tmp_path, {"capacity_ah": pa.array([], pa.float64()), "acir_mohm": pa.array([], pa.float64())})
    report = score(spec_of(file, GRADING), ctx)
    assert (report.rows, dict(report.checks)) == (0, {})
    assert "no rows yet" in report.skipped


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({}, "one of sampling, screen, grading, conformance, due; found none"),
        (SCREEN | GRADING, "found screen, grading"),
        (SAMPLING | {"time": None}, "sampling needs `time`"),
        ({"sampling": SAMPLING["sampling"] | {"aql": 2.0}}, "aql is one of 0.01, .*found 2"),
        ({"grading": GRADING["grading"] | {"otherwise": "A"}}, "classes have different names"),
        ({"grading": GRADING["grading"] | {"grades": "site"}}, "leave otherwise out; found C"),
        ({"grading": {"grades": GRADING["grading"]["grades"]}}, "grading needs .* otherwise"),
        ({"grading": GRADING["grading"] | {"flagged": ["Z"]}}, "flagged names classes among A, B, C; found Z"),
        ({"screen": SCREEN["screen"] | {"chance": 0.0}}, "greater than or equal to 0.001"),
        (SCREEN | {"features": {"select": ["k"]}}, "Extra inputs are not permitted"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_at_the_door(kind: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        spec_of("t.parquet", kind)


@pytest.mark.parametrize("limit", [{}, {"at_least": 2.0, "at_most": 1.0}])
def test_a_limit_bounds_something(limit: dict[str, float]) -> None:
    grades = [{"name": "A", "limits": {"capacity_ah": limit}}]
    with pytest.raises(ValidationError, match="at_least"):
        spec_of("t.parquet", {"grading": GRADING["grading"] | {"grades": grades}})


def test_a_missing_column_is_told_with_those_that_are_there(ctx: ModelContext, tmp_path: Path) -> None:
    with pytest.raises(CellworksError, match="lacks columns") as error:
        score(spec_of(write(tmp_path, {"k": [1.0]}), SCREEN), ctx)
    assert error.value.found == "tray"


def test_what_is_not_known_at_the_step_is_not_shown_to_the_rule(ctx: ModelContext, tmp_path: Path) -> None:
    file = write(tmp_path, {"capacity_ah": [1180.0], "acir_mohm": [0.1]})
    planned = ModelContext(ctx.home, load_site(SITE), n_threads=1)
    with pytest.raises(CellworksError, match="not known at step 'grading'"):
        score(spec_of(file, GRADING, entity="cell", acts_at="grading"), planned)
