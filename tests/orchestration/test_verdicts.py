"""Verdicts of the 48: the catalogue, and each family's lines over small figures, met and broken one at a time."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from models.decision_rule import conformance, grading, sampling, screen
from models.decision_rule.rows import Rows
from models.decision_rule.spec import DecisionSpec
from models.families import FAMILIES
from models.indicator.oee_spec import Oee
from models.indicator.spec import IndicatorSpec
from models.spec import PredictiveSpec
from orchestration.catalogue import discover, find, solution_files
from orchestration.environment import default_site, project_root
from orchestration.evaluation import (
    catalogue,
    decision_rule,
    forecast,
    indicator,
    iso2859,
    monitors,
    survival_model,
    traceability,
    waste,
)
from orchestration.evaluation.ceilings import noise_sd
from orchestration.evaluation.evidence import Answers, Evidence, ran
from orchestration.evaluation.faults import Fault, Plant, Stacked
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.predictive_model import judged as predictive
from orchestration.evaluation.registry import evaluate, of_row
from orchestration.night_store import store_night
from orchestration.solving import CheckOutcome, Outcome
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.world import World

TO_COME = {"Assistant"}
AT = datetime(2026, 9, 30, 22)  # noqa: DTZ001 - the plant's times are naive UTC


def test_the_catalogue_has_48_rows_and_knows_every_family_it_names() -> None:
    rows = catalogue.rows()
    assert [row.number for row in rows] == list(range(1, 49))
    assert {name for row in rows for name in row.families} <= {each.component for each in FAMILIES} | TO_COME


def test_every_folder_of_the_project_belongs_to_a_row() -> None:
    folders = [f"{stage}/{slug}" for stage, slug, _ in solution_files([project_root() / "orchestration" / "defs"])]
    assert catalogue.strangers(folders, catalogue.rows()) == []
    assert catalogue.strangers([*folders, "energy/unheard_of"], catalogue.rows()) == ["energy/unheard_of"]


@pytest.mark.parametrize(
    ("wrong", "right", "line", "said"),
    [
        ("number: 48", "number: 47", 1, "numbered 1 to 48"),
        ('actions: [schedule], asks: "Which mix', 'actions: [shout], asks: "Which mix', 8, "solutions.1.actions"),
    ],
)
def test_a_wrong_catalogue_names_line_and_field(tmp_path: Path, wrong: str, right: str, line: int, said: str) -> None:
    text = (project_root() / catalogue.FILE).read_text(encoding="utf-8")
    assert wrong in text
    (tmp_path / "catalogue.yaml").write_text(text.replace(wrong, right, 1), encoding="utf-8")
    with pytest.raises(CellworksError) as refused:
        catalogue.rows(tmp_path / "catalogue.yaml")
    assert f"line {line}" in str(refused.value)
    assert said in str(refused.value)


def test_a_row_works_when_all_its_folders_do_and_no_family_is_lacking() -> None:
    row = next(each for each in catalogue.rows() if each.number == 36)
    specs = discover()
    good, bad = Evaluation("working", "is good", value=1.0), Evaluation("failing", "is bad", value=0.5)
    both = {"equipment/machine_life": good, "equipment/predictive_maintenance": good}
    assert of_row(row, specs, both)["verdict"] == "working"
    told = of_row(row, specs, {**both, "equipment/predictive_maintenance": bad})
    assert (told["verdict"], told["value"]) == ("failing", 0.5)
    only = [spec for spec in specs if spec.solution == "equipment/predictive_maintenance"]
    told = of_row(row, only, both)
    assert told["verdict"] == "not_run"
    assert "equipment/machine_life: no folder yet" in told["reason"]
    assert "no SurvivalModel yet" in told["reason"]
    told = of_row(row, [], {})
    assert (told["verdict"], told["reason"], told["parts"]) == ("not_run", "no folder yet", [])


def gates(**figures: Any) -> Evidence:
    verdict = {"rows": 900, "gates": [{"name": name, "figures": each} for name, each in figures.items()]}
    return Evidence({"metric_value": 1.0, "baseline_value": 2.0}, verdict=verdict)


GAIN = {"gain": 0.5, "low": 0.1, "high": 0.9, "loss": 4.0}
REGRESSION = {
    "beats_baseline": {"lot_mean": GAIN, "last_value": GAIN, "skill": 0.3},
    "calibration": {"coverage": 0.91, "nominal": 0.9},
}
BINARY = {
    "beats_baseline": {
        "lot_mean": GAIN, "last_value": GAIN, "skill": 0.05, "expected_cost": 1.0, "flag_none": 2.0, "flag_all": 3.0,
    },
    "calibration": {"calibration_error": 0.02, "limit": 0.03, "chance": 0.05},
}  # fmt: skip


def broken(figures: dict[str, Any], gate: str, path: str, value: object) -> Evidence:
    changed = deepcopy(figures)
    *inner, last = path.split("/")
    part = changed[gate]
    for name in inner:
        part = part[name]
    part[last] = value
    return gates(**changed)


def spec_of(name: str) -> PredictiveSpec:
    spec = find(name)
    assert isinstance(spec, PredictiveSpec)
    return spec


@pytest.mark.parametrize(
    ("gate", "path", "value", "said"),
    [
        ("beats_baseline", "lot_mean/low", -0.01, "lot mean"),
        ("beats_baseline", "last_value/low", 0.0, "last value"),
        ("beats_baseline", "last_value/low", "-inf", "last value"),
        ("beats_baseline", "skill", 0.19, "skill 0.190"),
        ("calibration", "coverage", 0.879, "87.9 %"),
    ],
)
def test_a_regression_must_meet_each_line(gate: str, path: str, value: object, said: str) -> None:
    spec = spec_of("energy/conversion_cost")
    found = predictive(spec, gates(**REGRESSION), None)
    assert (found.verdict, found.interval, found.value) == ("working", (0.1, 0.9), 1.0)
    failing = predictive(spec, broken(REGRESSION, gate, path, value), None)
    assert failing.verdict == "failing"
    assert said in failing.reason


def test_little_skill_is_enough_where_noise_leaves_hardly_more() -> None:
    spec, little = spec_of("energy/conversion_cost"), broken(REGRESSION, "beats_baseline", "skill", 0.037)
    # Of an RMSE of 2 for the lot's mean, skill of 0.040 and of 0.045 is left.
    assert predictive(spec, little, 1.92).verdict == "working"
    assert predictive(spec, little, 1.91).verdict == "failing"


def test_noise_is_what_comes_after_the_step_and_the_gauge() -> None:
    site, spec = load_site(default_site()), spec_of("energy/conversion_cost")
    assert noise_sd(spec, site) is None  # no characteristic of the control plan
    target = spec.target.model_copy(update={"column": "capacity_ah"})
    early, late = (
        noise_sd(spec.model_copy(update={"target": target, "acts_at": step}), site) for step in ("formation", "grading")
    )
    assert early is not None
    assert late is not None
    assert late == pytest.approx(site.plan.by_code["capacity_ah"].gauge_sd, rel=0.1)
    assert early > 2 * late


@pytest.mark.parametrize(
    ("gate", "path", "value", "said"),
    [
        ("beats_baseline", "flag_none", 0.9, "flag none"),
        ("beats_baseline", "flag_all", 1.0, "flag all"),
        ("calibration", "calibration_error", 0.031, "calibration error"),
    ],
)
def test_a_classification_must_meet_each_line(gate: str, path: str, value: object, said: str) -> None:
    spec = spec_of("finishing/yield_root_cause")
    assert predictive(spec, gates(**BINARY), None).verdict == "working"
    failing = predictive(spec, broken(BINARY, gate, path, value), None)
    assert failing.verdict == "failing"
    assert said in failing.reason


def test_a_hold_out_that_cannot_tell_is_not_run() -> None:
    found = predictive(spec_of("finishing/yield_root_cause"), gates(holdout={"rows": 3}), None)
    assert found.verdict == "not_run"


FORECAST = {
    "beats_baseline": {"wql": 0.01, "seasonal_naive": 0.02, **GAIN, "blocks": 6},
    "calibration": {"coverage": 0.92, "nominal": 0.9, "allowed_gap": 0.06},
}


@pytest.mark.parametrize(
    ("gate", "path", "value", "said"),
    [
        ("beats_baseline", "low", -0.001, "gain over the season before"),
        ("calibration", "coverage", 0.931, "93.1 % of the intervals hold"),
        ("calibration", "coverage", 0.869, "within 3 points"),
    ],
)
def test_a_forecast_must_meet_each_line(gate: str, path: str, value: object, said: str) -> None:
    found = forecast.judged(gates(**FORECAST))
    assert (found.verdict, found.interval, found.value, found.baseline) == ("working", (0.1, 0.9), 0.01, 0.02)
    failing = forecast.judged(broken(FORECAST, gate, path, value))
    assert failing.verdict == "failing"
    assert said in failing.reason
    assert forecast.judged(gates(holdout={"rows": 3})).verdict == "not_run"


LIVES = {
    "concordance": {"concordance": 0.72, "low": 0.6, "high": 0.8, "naive": 0.6},
    "policy": {"policy": 2.0, "run_to_failure": 3.0, "fixed_interval": 2.5},
}


@pytest.mark.parametrize(
    ("gate", "path", "value", "said"),
    [
        ("concordance", "concordance", 0.69, "concordance 0.690"),
        ("policy", "run_to_failure", 2.0, "run to failure"),
        ("policy", "fixed_interval", 1.9, "fixed interval"),
    ],
)
def test_a_survival_model_must_meet_each_line(gate: str, path: str, value: object, said: str) -> None:
    assert survival_model.judged(gates(**LIVES)).verdict == "working"
    failing = survival_model.judged(broken(LIVES, gate, path, value))
    assert failing.verdict == "failing"
    assert said in failing.reason


def rule_of(kind: dict[str, Any]) -> DecisionSpec:
    base = {"stage": "incoming", "slug": "decided", "question": "?", "table": "marts.x", "keys": ["id"], "time": "at"}
    return DecisionSpec.model_validate(base | kind)


def decided(spec: DecisionSpec, columns: dict[str, Any]) -> pa.Table:
    """What the engine decides, beside the rows."""
    count = len(next(iter(columns.values())))
    time = np.datetime64("2026-01-01", "us") + np.arange(count) * np.timedelta64(1, "D")
    keys = {"id": pa.chunked_array([[f"R{number:04d}" for number in range(count)]])}
    rows = Rows(pa.table(columns), keys, time)
    engine: Any = sampling if spec.sampling else screen if spec.screen else grading
    conforms = spec.conformance
    answers = conformance.decide(conforms, rows, AT) if conforms else engine.decide(spec.rule, rows)
    beside = {f"row_{name}": each for name, each in columns.items()}
    told = {"class": answers.classes, "reasons": answers.reasons}
    return pa.table({"id": keys["id"], **told, "row_at": pa.array(time), **beside})


def lots(seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    share = np.where(np.arange(300) // 60 % 2 == 0, 0.003, 0.03)
    return {
        "supplier": [f"S{number % 2}" for number in range(300)],
        "units": draw.choice([1_200.0, 3_000.0], 300),
        "tested": np.full(300, 125.0),
        "bad": draw.binomial(125, share).astype(float),
    }


SAMPLING = {
    "sampling": {
        "lot_size": "units", "inspected": "tested", "nonconforming": "bad", "of": ["supplier"], "aql": 0.65,
        "resumed": {"S0": ["2026-07-01T00:00:00Z"]},
    }
}  # fmt: skip
GRADING = {
    "grading": {
        "grades": [
            {"name": "A", "limits": {"ah": {"at_least": 100.0}, "mohm": {"at_most": 0.12}}},
            {"name": "B", "limits": {"ah": {"at_least": 97.0}}},
        ],
        "otherwise": "C",
    }
}
SCREEN = {"screen": {"column": "k", "group": ["tray"], "scale": "log"}}


CONFORMANCE = {
    "conformance": {
        "certified": "said", "unit": "unit", "lower": "low", "upper": "high", "measured": "found", "gauge_sd": "gauge",
    }
}  # fmt: skip


def tables() -> list[tuple[DecisionSpec, dict[str, Any]]]:
    draw = np.random.default_rng(5)
    ah = np.where(draw.random(400) < 0.05, np.nan, draw.normal(100, 2, 400))
    k = np.exp(draw.normal(-3, 0.3, 400))
    k[::40] *= 6
    said = np.where(draw.random(400) < 0.1, np.nan, draw.normal(10, 1.0, 400))
    found = np.where(draw.random(400) < 0.3, np.nan, said + draw.normal(0, 0.3, 400))
    unit = [None if number % 3 == 0 else "um" for number in range(400)]
    return [
        (rule_of(SAMPLING), lots(1)),
        (rule_of(GRADING), {"ah": ah, "mohm": draw.normal(0.1, 0.02, 400)}),
        (
            rule_of(CONFORMANCE),
            {
                "said": said,
                "unit": pa.array(unit),
                "found": found,
                "low": np.full(400, 8.0),
                "high": np.full(400, 12.0),
                "gauge": np.full(400, 0.1),
            },
        ),
        (rule_of(SCREEN), {"k": k, "tray": [f"T{number // 16}" for number in range(400)]}),
    ]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_decisions_are_compared_with_those_worked_out_by_other_means(number: int) -> None:
    spec, columns = tables()[number]
    table = decided(spec, columns)
    classes = table.column("class").to_pylist()
    assert len(set(classes)) > 1
    assert decision_rule.judged(spec, table, AT).verdict == "working"
    place = next(row for row, each in enumerate(classes) if each in ("accepted", "B", "usual", "conforms"))
    classes[place] = "rejected" if spec.sampling else "outlier"
    wrong = table.set_column(table.column_names.index("class"), "class", pa.array(classes))
    found = decision_rule.judged(spec, wrong, AT)
    assert found.verdict == "failing"
    assert found.value is not None
    assert found.value < 1
    silent = table.set_column(table.column_names.index("reasons"), "reasons", pa.nulls(len(table), pa.string()))
    assert decision_rule.judged(spec, silent, AT).verdict == "failing"


def test_lots_stop_and_resume_as_the_engine_says() -> None:
    table = decided(rule_of(SAMPLING), lots(1))
    assert "stopped" in table.column("class").to_pylist()
    assert iso2859.wrong_oracles() == []


def test_oee_is_worked_out_from_states_by_hand() -> None:
    spec = find("equipment/oee_loss_tree")
    assert isinstance(spec, IndicatorSpec)
    assert isinstance(spec.indicator, Oee)
    hour = pd.Timedelta("1h")
    begin = pd.Timestamp("2026-09-01")
    states = pd.DataFrame(
        {
            "machine_id": "m", "production_day": begin.date(), "shift_code": "early",
            "begun_at": [begin, begin + hour, begin + 2 * hour], "ended_at": [begin + hour, begin + 2 * hour, AT],
            "state_code": ["Execute", "Aborted", "Stopped"], "reason_code": None,
            "produced_count": [40.0, 0.0, 0.0], "good_count": [30.0, 0.0, 0.0], "ideal_rate_per_h": 80.0,
        }
    )  # fmt: skip
    # Half an hour of ideal time, three quarters of it good, in two planned hours.
    found = indicator.oee_of(states, spec.indicator, spec.keys, AT)
    assert found.tolist() == pytest.approx([0.5 * 0.75 / 2])


@pytest.mark.parametrize(("told", "gap"), [([0.5, 0.6 + 1e-7], 0.0), ([0.5, np.nan], 0.0), ([0.5, 0.6], 1e-8)])
def test_an_indicator_must_agree_and_add_up(told: list[float], gap: float) -> None:
    anew = np.array([0.5, 0.6])
    assert indicator.judged(anew + 1e-12, anew, 1e-15).verdict == "working"
    assert indicator.judged(np.array(told), anew, gap).verdict == "failing"


@pytest.fixture(scope="module")
def plant() -> Plant:
    """Eight days of 40 cells, one every 36 minutes, on four stackers in turn."""
    number = np.arange(320)
    machines = np.array([f"stacker_{each % 4 + 1}" for each in number], dtype=object)
    at = np.datetime64("2026-09-01T00", "us") + number * np.timedelta64(36, "m")
    return Plant(
        World(load_site(default_site()), 5, "baseline", 0.01), range(0, 320, 40), Stacked(number, machines, at)
    )


def test_a_fault_moves_its_machines_rows_from_its_day_on_and_what_follows_from_it(plant: Plant) -> None:
    names = np.array([f"C{each:09d}" for each in range(320)], dtype=object)
    members = plant.members("marts.cell_at_grading", {"cell_id": names})
    assert members is not None
    columns = ["overhang_mm", "ocv_mv", "stack_mass_g", "leakage_ua", "not_a_characteristic"]
    moved = plant.moved(Fault("overhang_mm", "stacker_2", 2, shift=2.0), members, columns, 320)
    touched = np.flatnonzero(moved["overhang_mm"])
    assert set(touched % 4) == {1}
    assert touched.min() >= 80
    assert touched.max() < 80 + 5 * 40
    assert len(touched) == 50
    # Two standard deviations of the characteristic, wherever physics does not hold it.
    assert np.ptp(moved["overhang_mm"][touched]) < 0.02
    assert moved["overhang_mm"][touched[0]] > 0
    assert "stack_mass_g" not in moved
    drift = plant.moved(Fault("overhang_mm", "stacker_2", 2, ramp=-0.4), members, columns, 320)["overhang_mm"]
    assert drift[touched[-1]] < 3 * drift[touched[0]] < 0


def test_rows_of_an_hour_are_moved_by_the_mean_of_their_cells(plant: Plant) -> None:
    hours = plant.stacked.at.astype("datetime64[h]").astype("datetime64[us]")
    keys = {"machine_id": plant.stacked.machine, "hour_at": hours}
    members = plant.members("marts.stacker_hour", keys)
    assert members is not None
    assert plant.members("marts.material_lot", {"material_lot_id": hours}) is None
    assert members.row.tolist() == list(range(320))  # a cell of each machine and hour


def test_faults_are_as_many_for_each_characteristic_and_lie_within_the_days(plant: Plant) -> None:
    found = plant.faults(["overhang_mm", "stack_mass_g", "cell_count"], 1, seed=3)
    assert [each.code for each in found] == ["overhang_mm"] * 4 + ["stack_mass_g"] * 4
    assert all(1 <= each.day <= 3 for each in found)
    assert found == plant.faults(["overhang_mm", "stack_mass_g", "cell_count"], 1, seed=3)


def test_a_fault_is_told_by_a_row_that_would_not_have_been_in_alarm_without_it() -> None:
    without = np.array([False, False, True, False, False])
    alarms = np.array([True, False, True, False, True])
    since_h = np.array([np.nan, 0.0, 1.0, 2.0, 3.0])
    assert monitors.delay_h(alarms, without, since_h) == (3.0, 4)
    assert monitors.delay_h(without, without, since_h) == (120.0, None)


def test_the_chart_is_set_to_alarm_no_more_often_than_the_monitor() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    limit = monitors.limit_for(7, values, np.count_nonzero)
    assert 5 <= np.count_nonzero(values > limit) <= 7
    assert np.count_nonzero(values > monitors.limit_for(0, values, np.count_nonzero)) == 0


def test_waste_is_added_to_one_meter_within_the_horizon_and_to_nothing_else() -> None:
    hours = np.datetime64("2026-09-01", "h") + np.tile(np.arange(24 * 20), 2)
    meters = np.repeat(np.array(["a", "b"], dtype=object), 24 * 20)
    energy_kwh = np.random.default_rng(0).normal(100, 3, len(hours))
    since = np.datetime64("2026-09-08T00:00:00")
    wastes = list(waste.put_in({"meter_id": meters}, hours.astype("datetime64[s]"), energy_kwh, since, seed=1))
    assert len(wastes) == 16
    for fault, moved in wastes:
        added, mine = moved["energy_kwh"], meters == fault.machine_id
        begin = since + fault.day * np.timedelta64(1, "D")
        assert not added[~mine].any()
        assert not added[mine & (hours <= begin)].any()
        assert not added[mine & (hours >= begin + np.timedelta64(5, "D"))].any()
        # At once by so many standard deviations, and each further day by the ramp: on the fifth day four times.
        assert added.max() == pytest.approx(energy_kwh[mine].std() * (fault.shift + 4 * fault.ramp))
    late = np.datetime64("2026-09-18T00:00:00")
    assert list(waste.put_in({"meter_id": meters}, hours.astype("datetime64[s]"), energy_kwh, late, seed=1)) == []


def told(delay_h: float = 5.0, chart_h: float = 10.0, named: int = 9) -> list[monitors.Told]:
    fault = Fault("overhang_mm", "stacker_2", 3, shift=0.5)
    return [monitors.Told(fault, delay_h, chart_h, is_named=number < named) for number in range(10)]


@pytest.mark.parametrize(
    ("found", "a_day", "said"),
    [(told(delay_h=10.0), 1.0, "Shewhart"), (told(named=7), 1.0, "named"), (told(), 3.1, "alarms a day")],
)
def test_a_monitor_must_meet_each_line(found: list[monitors.Told], a_day: float, said: str) -> None:
    assert monitors.judged(told(), 1.0, 20).verdict == "working"
    failing = monitors.judged(found, a_day, 20)
    assert failing.verdict == "failing"
    assert said in failing.reason
    assert monitors.judged(told()[:4], 1.0, 20).verdict == "not_run"


def test_tracing_is_quick_and_its_passports_are_as_the_schema_says() -> None:
    quick = [(0.1, 3)] * 10
    assert traceability.judged(quick, quick, [{"formatVersion": 0}], 30).verdict == "failing"
    assert "1 of 1 passports" in traceability.judged(quick, quick, [{"formatVersion": 0}], 30).reason
    assert "1.20 s" in traceability.judged([*quick, (1.2, 3)], quick, [{}], 30).reason
    assert "reached nothing" in traceability.judged(quick, [(0.1, 0)], [{}], 30).reason


def night(**changes: Any) -> Evidence:
    row = {"checks_failed": 0, "champion_version": "rule-1", "state": "working", "reason": ""}
    return replace(Evidence(row, answers=Answers(rows=20, later=20, flagged=3, actions=1)), **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answers": Answers(rows=20, later=0, flagged=0, actions=1)}, "rows on new data"),
        ({"answers": Answers(rows=20, later=20, flagged=3, actions=0)}, "its actions (hold_lot)"),
        ({"night": {"checks_failed": 1}, "failed_checks": ("stands",)}, "its asset checks passed"),
    ],
)
def test_a_night_leaves_rows_actions_and_checks(changes: dict[str, Any], said: str) -> None:
    spec = find("finishing/self_discharge_screen")
    assert all(line.is_met for line in ran(spec, night()))
    assert [line.asks for line in ran(spec, night(**changes)) if not line.is_met] == [said]


def test_a_home_without_a_night_is_not_run_and_one_that_failed_is_failing(tmp_path: Path) -> None:
    home, site = Home(tmp_path / "home").ensure(), load_site(default_site())
    spec = find("equipment/oee_loss_tree")
    assert evaluate(spec, Ground(site)).verdict == "not_run"
    bootstrap(home, site)
    found = evaluate(spec, Ground(site, home=home))
    assert found.verdict == "not_run"
    assert "cellworks nightly" in found.reason
    failed = Outcome(spec, checks=[CheckOutcome("predictions", "stands", passed=True)], failure="a state has no rate")
    store_night(home, {}, failed, AT)
    found = evaluate(spec, Ground(site, home=home))
    assert (found.verdict, "a state has no rate" in found.reason) == ("failing", True)
