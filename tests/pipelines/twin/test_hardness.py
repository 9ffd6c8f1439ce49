"""The world is hard in the way a line is, over five seeds; tests/bench/twin_hardness.py writes the figures down."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from pipelines.control_plan.site import Site

_FILE = Path(__file__).parents[2] / "bench" / "twin_hardness.py"
_SPEC = importlib.util.spec_from_file_location("twin_hardness", _FILE)
assert _SPEC is not None
assert _SPEC.loader is not None
hardness = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(hardness)
pytestmark = [pytest.mark.slow, pytest.mark.long]  # many plants, drawn anew


@pytest.fixture(scope="module")
def of_cells(site: Site):
    return [hardness.cell_figures(site, seed, hardness.spread_cells(3_000), 8) for seed in hardness.SEEDS]


@pytest.fixture(scope="module")
def of_machines(site: Site):
    return [hardness.failure_figures(site, seed, 10) for seed in hardness.SEEDS]


@pytest.mark.parametrize("target", ["premium", "cost"])
def test_every_source_holds_a_part_of_the_variance(of_cells, target: str) -> None:
    for figures in of_cells:
        assert all(figures[target]["parts"][group] > 0.02 for group in hardness.GROUPS), figures[target]["parts"]


@pytest.mark.parametrize("target", ["premium", "cost"])
def test_no_single_feature_explains_half_of_what_can_be_learnt(of_cells, target: str) -> None:
    for figures in of_cells:
        assert 0.02 < figures[target]["learnable"] < 0.5
        assert figures[target]["best_share"] < 0.5, figures[target]


def test_an_oracle_with_the_true_causes_stays_below_the_limit(of_cells) -> None:
    for figures in of_cells:
        assert 0.6 < figures["premium"]["auc"] < 0.95
        assert 0.6 < figures["premium"]["auc_machines_known"] < 0.95


def test_only_a_part_of_the_failures_warns_and_no_signal_tells_half(of_machines) -> None:
    for figures in of_machines:
        assert 0.4 < figures["warned"] < 0.8
        assert figures["best_share"] < 0.5
        assert figures["best_auc"] < figures["auc"] < 0.95
        assert all(part > 0.05 for part in figures["parts"].values()), figures["parts"]


def test_the_figures_can_be_written_down(of_cells, of_machines) -> None:
    text = hardness.page(of_cells, of_machines, 3_000, 8, 10)
    assert "ROC AUC of the oracle" in text
    assert "nan" not in text
    assert np.isfinite(of_cells[0]["cost"]["rmse_skill"])
