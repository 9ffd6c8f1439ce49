"""`cellworks evaluate`: a loop on a small span of the twin, verdicts of families, what is refused at the door."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from models.optimizer.aim import Aim, aim_of
from models.optimizer.plan_spec import Matching
from models.optimizer.spec import OptimizerSpec, RunToRun
from models.solution import SolutionSpec
from orchestration.catalogue import find
from orchestration.cli.evaluate import run_evaluation
from orchestration.environment import default_site
from orchestration.evaluation import optimizer, plans
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.optimizer import Arms, crossings, evaluate, seen_of
from orchestration.evaluation.plan_trials import Trial
from orchestration.evaluation.registry import evaluate as evaluate_any
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.optimizers.loop import Course
from pipelines.optimizers.runs import Moves, Runs


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


@pytest.fixture
def spec() -> OptimizerSpec:
    found = find("electrode/coat_weight_control")
    assert isinstance(found, OptimizerSpec)
    return found


def short(spec: OptimizerSpec, days: float) -> OptimizerSpec:
    return spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"learn_days": days})})


def test_both_arms_are_paired_and_the_verdict_follows_from_the_interval(
    site: Site, spec: OptimizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer, "CONTROL_DAYS", 2)
    found = evaluate(short(spec, 4), Ground(site, seeds=(1, 2)))
    assert found.verdict in ("working", "failing")
    assert found.interval is not None
    low, high = found.interval
    assert low <= found.figures["gain"] <= high
    assert found.figures["gain"] == pytest.approx(np.mean(found.figures["gain_by_seed"]))
    assert (found.verdict == "working") == (low > 0)
    assert found.figures["crossed"] == []
    row = found.row(spec)
    assert (row["stage"], row["slug"], row["family"]) == ("electrode", "coat_weight_control", "Optimizer")


def test_what_the_controller_sees_is_what_the_tables_tell(site: Site, spec: OptimizerSpec) -> None:
    line = Ground(site).section(1, 2).electrode("cathode")
    runs, feed, deliveries = seen_of(line, "coating", spec.optimizer, aim(site, spec))
    assert (np.diff(runs.at_s) >= 0).all()
    assert (runs.known_s >= runs.at_s + 119).all()
    # The batch was ready, and known, before the roll began.
    assert (feed.known_s[runs.item] < runs.at_s).all()
    assert len(deliveries.run) == len(runs)


def aim(site: Site, spec: OptimizerSpec) -> Aim:
    return aim_of(site, spec.optimizer, "cathode", spec.solution)


def looped(setpoint: list[float], at_s: list[float], size: list[float]) -> Course:
    count = len(setpoint)
    at = 2700.0 * np.arange(count, dtype=np.float64)
    flat = np.zeros(count)
    runs = Runs(at, at + 60, flat, flat, np.array(setpoint), np.full(count, -1))
    return Course(runs, (), Moves(np.array(at_s), np.array(size)))


@pytest.mark.parametrize(
    ("course", "said"),
    [
        (looped([100.0, 103.5], [3000.0], [0.5]), "outside"),
        (looped([100.0, 100.6], [3000.0], [0.6]), "larger"),
        (looped([100.0] * 3, [3000.0 + 100 * no for no in range(5)], [0.5] * 5), "within an hour"),
        (looped([100.0, 100.5], [9e5], [0.5]), "stale"),
    ],
)
def test_whatever_is_crossed_is_found(site: Site, spec: OptimizerSpec, course: Course, said: str) -> None:
    crossed = crossings(course, aim(site, spec), spec.optimizer, 0)
    assert any(said in text for text in crossed)
    assert crossings(looped([100.0, 100.5], [2770.0], [0.5]), aim(site, spec), spec.optimizer, 0) == []


def test_a_loop_that_crosses_a_limit_does_not_work_however_good_it_is(site: Site, spec: OptimizerSpec) -> None:
    kind = spec.optimizer
    assert isinstance(kind, RunToRun)
    values = np.random.default_rng(0).normal(210, 0.6, 100)
    arms = [
        Arms(seed, electrode, values, (values + 210) / 2, aim(site, spec), 1, [])
        for seed in range(5)
        for electrode in ("cathode", "anode")
    ]
    ground = Ground(site, seeds=tuple(range(5)))
    arms = [replace(one, controlled=one.controlled + 0.01 * one.seed) for one in arms]
    assert optimizer._judged(kind, ground, arms).verdict == "working"
    arms[0].crossed.append("a move larger than allowed")
    assert optimizer._judged(kind, ground, arms).verdict == "failing"


def test_what_learns_from_the_homes_rows_is_not_run_without_a_night(site: Site) -> None:
    other: SolutionSpec = find("finishing/yield_root_cause")
    assert evaluate_any(other, Ground(site)).verdict == "not_run"


@pytest.mark.parametrize(
    ("solution", "of_all", "plants"),
    [(None, False, 8), ("coat_weight_control", True, 8), ("coat_weight_control", False, 4)],
)
def test_what_makes_no_sense_is_refused(solution: str | None, plants: int, *, of_all: bool) -> None:
    with pytest.raises(CellworksError):
        run_evaluation(solution, plants, of_all=of_all, as_json=True)


@pytest.mark.parametrize("name", ["spares_and_calibration", "module_matching"])
def test_a_plan_is_judged_by_what_it_costs_beside_its_rule(site: Site, name: str) -> None:
    found = find(name)
    assert isinstance(found, OptimizerSpec)
    brief = {"effort": 0.02, **({"modules": 2} if name == "module_matching" else {})}
    spec = found.model_copy(update={"optimizer": found.optimizer.model_copy(update=brief)})
    told = evaluate(spec, Ground(site, seeds=(1, 2)))
    assert told.value is not None and told.baseline is not None and told.interval is not None
    assert told.figures["crossed"] == []
    assert told.interval[0] <= told.figures["gain"] <= told.interval[1]
    assert (told.verdict == "working") == (told.interval[0] > 0)
    assert told.value < told.baseline


def test_a_plan_that_crosses_a_limit_does_not_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = cast("OptimizerSpec", find("module_matching")).optimizer
    found = [Trial("metres", "first", 1.0 + no / 10, 2.0, 1, ["two at once"] if no == 1 else []) for no in range(3)]
    monkeypatch.setitem(plans._TRIALS, Matching, lambda *_: found.pop())
    assert isinstance(kind, Matching)
    told = plans.evaluate(cast("OptimizerSpec", find("module_matching")), kind, Ground(site, seeds=(1, 2, 3)))
    assert (told.verdict, told.figures["crossed"]) == ("failing", ["two at once"])
