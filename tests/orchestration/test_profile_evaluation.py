"""`cellworks evaluate` of profile control: arms are paired, the ceiling lies above, what is crossed is found."""

from __future__ import annotations

import numpy as np
import pytest

from models.optimizer.profile_spec import ProfileControl
from models.optimizer.spec import OptimizerSpec
from orchestration.catalogue import find
from orchestration.environment import default_site
from orchestration.evaluation import profile
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.optimizer import evaluate
from orchestration.evaluation.profile import crossings
from pipelines.control_plan.site import load_site
from pipelines.optimizers.run_to_run import Guards
from pipelines.optimizers.runs import Moves

COUNT = 6
GUARDS = Guards(-60.0, 60.0, 6.0, 12.0, 1.0, 3600.0, 4)


def test_the_die_is_evened_out_and_nothing_is_crossed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "CONTROL_DAYS", 3)
    found = evaluate(find("electrode/cross_web_profile"), Ground(load_site(default_site()), seeds=(3001, 3002)))
    assert found.figures["crossed"] == []
    assert found.value is not None
    assert found.baseline is not None
    assert found.value < found.baseline
    assert 0 < found.figures["gain"] < found.figures["ceiling"] < 1
    assert 0 < found.figures["moves_a_day"] <= 12
    assert found.interval is not None
    assert (found.verdict == "working") == (found.interval[0] > 0)


@pytest.mark.parametrize(
    ("before", "after", "spent", "said"),
    [
        ([0, 0, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0], [], ""),
        ([0, 0, 0, 0, 0, 0], [0, 7, 0, 0, 0, 0], [], "larger"),
        ([59, 59, 59, 59, 59, 59], [59, 61, 59, 59, 59, 59], [], "outside"),
        ([0, 10, 0, 0, 0, 0], [0, 13, 0, 0, 0, 0], [], "neighbours"),
        ([0, 0, 0, 0, 0, 0], [3, 3, 3, 0, 0, 0], [], "at once"),
        ([0, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0], [600, 1200], "within an hour"),
        ([0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [4000, 8000, 12000, 16000], "within a day"),
    ],
)
def test_whatever_an_advice_crosses_is_found(
    before: list[float], after: list[float], spent: list[float], said: str
) -> None:
    kind = _kind()
    then, now = np.array(before, dtype=float), np.array(after, dtype=float)
    moves = [Moves.none()] * COUNT
    for ago_s in spent:
        moves[0] = moves[0].with_one(1e5 - ago_s, 4.0)
    for bolt in np.flatnonzero(now != then):
        moves[bolt] = moves[bolt].with_one(1e5, float(now[bolt] - then[bolt]))
    found = crossings(kind, GUARDS, then, now, moves, 1e5)
    assert [said in text for text in found] == ([True] if said else [])


def _kind() -> ProfileControl:
    spec = find("electrode/cross_web_profile")
    assert isinstance(spec, OptimizerSpec)
    assert isinstance(spec.optimizer, ProfileControl)
    return spec.optimizer
