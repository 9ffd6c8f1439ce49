"""What a fit is bound to, and what its intervals promise."""

from __future__ import annotations

import pytest

from models.gates.judge import judge
from models.train import train

pytestmark = pytest.mark.slow


def test_quantiles_hold_and_are_judged_by_the_share_that_lies_between_them(ctx, table_file, cells, solution):
    search = {"trials": 2, "max_rounds": 60, "libraries": ["lightgbm"]}
    spec = solution(table_file(cells()), "quantile", quantiles=[0.2, 0.5, 0.8], search=search)
    trained = train(spec, ctx)
    assert trained.fitted.scorer.bundle["interval"]["coverage"] == 0.6
    gate = judge(spec, ctx, trained).gate("calibration")
    assert gate.passed, gate.sentence
    assert gate.sentence.endswith("of the intervals hold, 60 % promised")
    assert gate.figures["coverage"] == pytest.approx(0.6, abs=0.1)
