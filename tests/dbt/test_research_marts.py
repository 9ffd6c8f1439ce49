"""Marts of research: the curve's figures are those of the published cells, and a life is there once it is over."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pytest

from pipelines.lake.connection import reader
from pipelines.lake.home import Home

pytestmark = pytest.mark.slow


def _mart(home: Home, name: str) -> pd.DataFrame:
    with reader(home) as con:
        return con.execute(f"SELECT * FROM lake.marts.{name}").df()


def _delivered(home: Home, feed: str, reads: str) -> pd.DataFrame:
    return duckdb.sql(f"SELECT * FROM {reads}('{home.drop_dir}/{feed}/*')").df()


def test_figures_of_the_curve_are_those_of_the_benchmark(home: Home) -> None:
    """`dq_*` of the table of 124 published cells: sample variance, Pearson's kurtosis, decimal logarithms of sizes."""
    mart = _mart(home, "cycling_test").set_index("pilot_cell_id").sort_index()
    curve = _delivered(home, "tester__cycling_curve", "read_parquet")
    moved = (curve["discharged_c100_ah"] - curve["discharged_c10_ah"]).groupby(curve["pilot_cell_id"])
    assert len(mart) == len(moved) > 1000
    assert np.allclose(mart["dq_log10_var"], np.log10(moved.var()))
    assert np.allclose(mart["dq_log10_abs_mean"], np.log10(moved.mean().abs()))
    assert np.allclose(mart["dq_log10_abs_min"], np.log10(moved.min().abs()))
    centred = moved.transform(lambda dq: (dq - dq.mean()) / dq.std(ddof=0))
    assert np.allclose(mart["dq_kurt"], (centred**4).groupby(curve["pilot_cell_id"]).mean())


def test_a_life_is_known_after_its_first_hundred_cycles_and_only_when_it_is_over(home: Home) -> None:
    tests, labels = (_mart(home, name).set_index("pilot_cell_id") for name in ("cycling_test", "cycling_test_label"))
    assert labels.index.is_unique
    assert set(labels.index) < set(tests.index)
    waited = labels["label_known_at"] - tests["known_at"].loc[labels.index]
    assert pd.Timedelta(0) < waited.min()
    assert waited.max() < pd.Timedelta(hours=1872)
    assert (tests["known_at"] > tests["cycled_at"]).all()


def test_recipes_that_are_asked_for_and_tried_are_told_as_delivered(home: Home) -> None:
    for name, feed in (("recipe_request", "erp__recipe_request"), ("recipe_trial", "mes__recipe_trial")):
        mart, told = _mart(home, name), _delivered(home, feed, "read_csv")
        assert len(mart) == len(told) > 20
        assert mart["areal_weight_g_m2"].sum() == pytest.approx(told["areal_weight_g_m2"].sum())
        assert mart["density_g_cm3"].between(2.0, 3.0).all()
