"""`cellworks evaluate` of dose and soak: the same cells in both arms, a bill as by hand, and what is crossed fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.spec import OptimizerSpec
from orchestration.catalogue import find
from orchestration.environment import default_site
from orchestration.evaluation import filling
from orchestration.evaluation.filling import Arms
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.optimizer import evaluate
from pipelines.control_plan.site import load_site


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground(load_site(default_site()), seeds=(3001, 3002))


def _spec() -> tuple[OptimizerSpec, ExpectedValue]:
    spec = find("assembly/filling_optimizer")
    assert isinstance(spec, OptimizerSpec)
    assert isinstance(spec.optimizer, ExpectedValue)
    return spec, spec.optimizer


def test_moves_stay_within_the_plan_and_the_verdict_is_that_of_its_interval(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "LEARN_DAYS", 16)
    monkeypatch.setattr(filling, "CONTROL_DAYS", 3)
    found = evaluate(find("assembly/filling_optimizer"), ground)
    assert found.figures["crossed"] == []
    assert found.value is not None
    assert found.baseline is not None
    assert found.figures["gain"] == pytest.approx(found.baseline - found.value)
    assert found.figures["moves_a_day"] > 0
    assert found.interval is not None
    assert (found.verdict == "working") == (found.interval[0] > 0)


def test_nothing_is_moved_on_grades_that_are_not_there_yet(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    # A cell is graded some nine days after it was filled.
    monkeypatch.setattr(filling, "LEARN_DAYS", 5)
    monkeypatch.setattr(filling, "CONTROL_DAYS", 2)
    found = evaluate(find("assembly/filling_optimizer"), ground)
    assert (found.figures["moves_a_day"], found.value) == (0, found.baseline)
    assert found.verdict == "failing"


def test_a_cell_costs_its_dose_its_soak_and_what_it_misses(ground: Ground) -> None:
    spec, kind = _spec()
    loop = filling._Loop(spec, kind, ground, 3001)
    true = {
        "fill_mass_g": np.array([3700.0, 3730.0, 3730.0, 3760.0]),
        "soak_h": np.array([36.0, 36.0, 40.0, 40.0]),
        "capacity_ah": np.array([1170.0, 1180.0, 1180.0, 1180.0]),
        "wetting_index": np.array([0.9, 0.9, 0.9, 0.8]),
    }
    # One of four is below grade A, one has dry places, and two were filled beside their limits.
    missed = 51 / 4 + 10 / 4 + 10 * 2 / 4
    assert loop._cost(true) == pytest.approx(3730 * 0.0048 + 38 * 0.011 + missed)


def test_what_saves_but_crosses_a_limit_or_misses_more_is_failing(ground: Ground) -> None:
    right = [
        Arms(seed, 21.0, 20.5 + 0.01 * no, 4, {}, {"capacity_ah": (5.0, 5.0)}, [])
        for no, seed in enumerate(ground.seeds)
    ]
    assert filling._judged(ground, right).verdict == "working"
    crossed = [right[0], replace(right[1], crossed=["a move is larger than the plan allows"])]
    worse = [right[0], replace(right[1], missed={"capacity_ah": (5.0, 9.0)})]
    dearer = [replace(each, moved=21.2) for each in right]
    for arms, said in ((crossed, "larger than the plan"), (worse, "9.0 % of the cells miss"), (dearer, "saves -0.2")):
        found = filling._judged(ground, arms)
        assert found.verdict == "failing"
        assert said in found.reason
