"""Verdicts of the 48: the catalogue, and each family's lines over small figures, met and broken one at a time."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from models.families import FAMILIES, family_of
from models.solution import SolutionSpec
from models.spec import PredictiveSpec
from orchestration.catalogue import discover, find, solution_files
from orchestration.environment import default_site, project_root
from orchestration.evaluation import (
    catalogue,
    forecast,
    survival_model,
    traceability,
)
from orchestration.evaluation.ceilings import noise_sd
from orchestration.evaluation.evidence import Answers, Evidence, answers, checked_parts, ran
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.predictive_model import asked_by_searches
from orchestration.evaluation.predictive_model import judged as predictive
from orchestration.evaluation.registry import evaluate, of_row
from orchestration.night_store import store_night
from orchestration.solving import CheckOutcome, Outcome
from pipelines.actions.propose import ActionReport, Origin, propose
from pipelines.actions.tables import ensure_tables
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap

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
    assert early > late > 2 * site.plan.by_code["capacity_ah"].gauge_sd, "its own chance shows in nothing before it"


def test_own_chance_of_a_number_is_known_where_something_measured_by_then_follows_from_it() -> None:
    """A mixer's minutes show how thick its slurry is; peel shows in the dust of the notchers, which is after drying."""
    site = load_site(default_site())
    viscosity, peel = (
        noise_sd(spec_of(f"electrode/{name}"), site) for name in ("slurry_viscosity", "peel_and_solvent")
    )
    assert viscosity == pytest.approx(site.plan.by_code["cathode_viscosity_mpa_s"].gauge_sd, rel=0.1)
    assert peel is not None
    assert peel > 1.4 * site.plan.by_code["cathode_peel_strength_n_m"].gauge_sd


def test_of_a_model_that_a_search_asks_set_points_alone_can_tell() -> None:
    """How fast a cathode dries follows from temperature, air and speed; its rolls differ by chance of their own."""
    site, rate = load_site(default_site()), spec_of("electrode/dryer_rate")
    assert {"electrode/dryer_rate", "electrode/dryer_solvent"} <= asked_by_searches()
    shown, asked = noise_sd(rate, site), noise_sd(rate, site, is_asked=True)
    assert shown is not None
    assert asked is not None
    assert asked > 3 * shown, "the peel that follows from it would tell nearly all of it, and may not be read"


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


def test_tracing_is_quick_and_its_passports_are_as_the_schema_says() -> None:
    quick = [(0.1, 3)] * 10
    assert traceability.judged(quick, quick, [{"formatVersion": 0}], 30).verdict == "failing"
    assert "1 of 1 passports" in traceability.judged(quick, quick, [{"formatVersion": 0}], 30).reason
    assert "1.20 s" in traceability.judged([*quick, (1.2, 3)], quick, [{}], 30).reason
    assert "reached nothing" in traceability.judged(quick, [(0.1, 0)], [{}], 30).reason


def night(**changes: Any) -> Evidence:
    row = {"champion_version": "rule-1", "state": "working", "reason": ""}
    return replace(Evidence(row, answers=Answers(rows=20, later=20, flagged=3, actions=1)), **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answers": Answers(rows=20, later=0, flagged=0, actions=1)}, "rows on new data"),
        ({"answers": Answers(rows=20, later=20, flagged=3, actions=0)}, "its actions (hold_lot)"),
        ({"failed_checks": ("stands",)}, "its asset checks passed"),
    ],
)
def test_a_night_leaves_rows_actions_and_checks(changes: dict[str, Any], said: str) -> None:
    spec = find("finishing/self_discharge_screen")
    assert all(line.is_met for line in ran(spec, night()))
    assert [line.asks for line in ran(spec, night(**changes)) if not line.is_met] == [said]


@pytest.fixture
def home_of_calls(tmp_path: Path) -> tuple[Home, SolutionSpec]:
    """A lake in which machine_life calls for a work order for two machines; nothing was proposed yet."""
    spec = find("equipment/machine_life")
    home = Home(tmp_path / "home").ensure()
    bootstrap(home, load_site(default_site()))
    with writer(home, why="test") as con:
        ensure_tables(con)
        con.execute("CREATE SCHEMA IF NOT EXISTS lake.solutions")
        con.execute(
            "CREATE TABLE lake.solutions.machine_life AS SELECT * FROM (VALUES ('mixer_a1', true), ('coater_1', true), "
            "('oven_2', false)) AS t (machine_id, is_flagged), (SELECT ?::TIMESTAMP AS event_at, "
            "?::TIMESTAMP AS scored_at, 1 AS model_version)",
            [AT - timedelta(hours=1), AT],
        )
    return home, spec


def asked(home: Home, spec: SolutionSpec) -> tuple[Answers, bool]:
    """What is counted of version 1 at the night, and whether its line on actions is met."""
    found = answers(spec, home, load_site(default_site()), {"at": AT}, "1")
    line = next(each for each in ran(spec, night(answers=found)) if each.asks.startswith("its actions"))
    return found, line.is_met


def order(home: Home, solution: str, at: datetime, *targets: str, kind: str = "work_order") -> ActionReport:
    rows = pa.table({"target_id": targets, "priority": [1.0] * len(targets), "reason": ["worn"] * len(targets)})
    with writer(home, why="test") as con:
        return propose(con, load_site(default_site()), Origin(solution, kind, at), rows)


def test_a_call_is_served_by_the_action_that_another_solution_proposed_that_day(
    home_of_calls: tuple[Home, SolutionSpec],
) -> None:
    home, spec = home_of_calls
    # Neither another kind of action for the target, nor an earlier day's, nor another target's serves a call.
    order(home, "watch", AT, "mixer_a1", "coater_1", kind="alarm")
    order(home, "watch", AT - timedelta(days=2), "mixer_a1", "coater_1")
    order(home, "watch", AT, "oven_2")
    assert asked(home, spec) == (Answers(rows=3, later=3, flagged=2), False)
    order(home, "watch", AT + timedelta(seconds=1), "mixer_a1")
    assert asked(home, spec) == (Answers(rows=3, later=3, flagged=2, served=1), False), "one call is open still"
    order(home, "watch", AT + timedelta(seconds=2), "coater_1")
    assert asked(home, spec) == (Answers(rows=3, later=3, flagged=2, served=2), True)
    # The proof: the gateway leaves the solution no action for them.
    refused = order(home, spec.slug, AT + timedelta(seconds=3), "mixer_a1", "coater_1")
    assert (refused.proposed, refused.repeated) == (0, 2)


def test_what_a_newer_challenger_was_turned_away_for_is_not_held_against_the_champion() -> None:
    family = family_of(find("finishing/yield_root_cause"))
    assert "model" in checked_parts(family, "2", "2")
    assert checked_parts(family, "1", "2") == ("predictions", "monitoring")


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
