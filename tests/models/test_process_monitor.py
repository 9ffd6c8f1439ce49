"""Process monitors: limits against theory, their rate on later rows, what they find, and by which variable."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from models.context import ModelContext
from models.process_monitor.blocks import held_out, rows_of
from models.process_monitor.evaluation import alarms_of
from models.process_monitor.fitting import Fitted, fit
from models.process_monitor.learning import learn, limits_of, validation_loss
from models.process_monitor.observations import Observations, observe
from models.process_monitor.runtime import Scorer, follow, lowest_of_run
from models.process_monitor.spec import MonitorSpec, Pca
from models.process_monitor.theory import spe_limit, t2_limit_phase_1, t2_limit_phase_2
from models.solution import NotYetError
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

BASE: dict[str, Any] = {
    "stage": "process",
    "slug": "watch",
    "question": "Is the line as usual?",
    "keys": ["row_id"],
    "time": "at",
    "reference": {"column": "is_reference", "values": ["true"]},
}
BEGUN = datetime(2026, 1, 1)  # noqa: DTZ001 - the lake's times are UTC without a zone


def series(
    rows: int, seed: int, memory: float = 0.0, variables: int = 8, factors: int = 2, noise: float = 0.3
) -> np.ndarray[Any, Any]:
    """Variables that follow a few factors, which remember their last value."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(factors, variables))
    factor = np.zeros((rows, factors))
    drawn = rng.normal(size=(rows, factors)) * np.sqrt(1 - memory**2)
    factor[0] = rng.normal(size=factors)
    for row in range(1, rows):
        factor[row] = memory * factor[row - 1] + drawn[row]
    return np.asarray(factor @ mixing + noise * rng.normal(size=(rows, variables)))


def table_of(x: Any, reference: int, **columns: Any) -> pa.Table:
    """A table with a row a minute, of which the first `reference` are usual."""
    own = {f"v{place}": x[:, place] for place in range(x.shape[1])}
    return pa.table(
        {
            "row_id": np.arange(len(x)),
            "at": [BEGUN + timedelta(minutes=each) for each in range(len(x))],
            "is_reference": np.arange(len(x)) < reference,
            **own,
            **columns,
        }
    )


def fitted(tmp_path: Path, table: pa.Table, **attributes: Any) -> tuple[Fitted, Observations]:
    """What a monitor of a file learns from its whole reference."""
    file = tmp_path / "rows.parquet"
    pq.write_table(table, file)
    spec = MonitorSpec.model_validate({**BASE, "table": str(file), **attributes})
    ctx = ModelContext(home=Home(tmp_path))
    seen = observe(spec, ctx)
    return fit(spec, ctx, seen, seen.is_reference, seen.cut(0.0)), seen


@pytest.mark.parametrize(
    ("variables", "rows", "phase_1", "phase_2"),
    [(2, 50, 10.685, 13.967), (3, 100, 13.374, 15.626), (5, 200, 17.607, 19.416)],
)
def test_the_limits_of_t2_are_those_of_the_handbook(variables: int, rows: int, phase_1: float, phase_2: float) -> None:
    assert t2_limit_phase_1(rows, variables, 0.0027) == pytest.approx(phase_1, abs=5e-4)
    assert t2_limit_phase_2(rows, variables, 0.0027) == pytest.approx(phase_2, abs=5e-4)


@pytest.mark.parametrize(("variables", "limit"), [(2, 11.829), (3, 14.156), (5, 18.205)])
def test_the_limits_of_t2_on_a_long_reference_are_that_of_chi_square(variables: int, limit: float) -> None:
    for of_phase in (t2_limit_phase_1, t2_limit_phase_2):
        assert of_phase(10_000_000, variables, 0.0027) == pytest.approx(limit, abs=5e-4)


def test_the_limit_of_spe_is_a_quantile_of_what_normal_rows_have() -> None:
    variances = np.linspace(1.5, 0.2, 15)
    drawn = (np.random.default_rng(0).normal(size=(200_000, 15)) ** 2 * variances).sum(axis=1)
    assert spe_limit(variances, 0.01) == pytest.approx(np.quantile(drawn, 0.99), rel=0.02)
    # All variances equal: SPE is that variance times a chi-square.
    assert spe_limit(np.full(6, 2.0), 0.05) == pytest.approx(2 * 12.592, rel=0.01)


def test_t2_with_every_component_is_the_distance_of_mahalanobis(tmp_path: Path) -> None:
    x = series(300, 1)
    found, seen = fitted(tmp_path, table_of(x, 300), pca={"lags": 0, "components": 8})
    ratios = found.scorer.statistics(seen.table)
    reference = found.scorer.references[""]
    centred = x - x.mean(axis=0)
    distance = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(x.T)), centred)
    np.testing.assert_allclose(ratios["t2"] * reference.limits["t2"], distance, rtol=1e-8)


def test_contributions_are_what_reconstructing_a_variable_takes_away(tmp_path: Path) -> None:
    found, seen = fitted(tmp_path, table_of(series(300, 2), 300), pca={"lags": 1, "components": 5})
    reference = found.scorer.references[""]
    x = np.column_stack([seen.table.column(f"v{place}").to_numpy() for place in range(8)])
    z = reference.design(x)[[40]]

    def combined(row: Any) -> float:
        scores = row @ reference.loadings.T
        spe = (row**2).sum() - (scores**2).sum()
        return float((scores**2 / reference.variances).sum() / reference.limits["t2"] + spe / reference.limits["spe"])

    falls = []
    for place in range(z.shape[1]):
        unit = np.eye(z.shape[1])[place]
        # A quadratic in the variable's change: three values tell its least.
        low, mid, high = (combined(z[0] + step * unit) for step in (-1.0, 0.0, 1.0))
        curve, slope = (high + low - 2 * mid) / 2, (high - low) / 2
        falls.append(slope**2 / (4 * curve))
    expected = np.array(falls).reshape(2, 8).sum(axis=0)
    np.testing.assert_allclose(reference.contributions(z, "combined")[0], expected / expected.sum(), rtol=1e-6)


def test_limits_hold_their_rate_on_later_rows_where_those_of_the_learnt_rows_do_not(tmp_path: Path) -> None:
    held, own = [], []
    for seed in range(8):
        x = series(2200, 10 + seed, memory=0.7, variables=40, factors=4)
        found, seen = fitted(tmp_path, table_of(x, 200), pca={"lags": 0})
        later = ~seen.is_reference
        ratios = found.scorer.statistics(seen.table)["spe"]
        held.append((ratios[later] > 1).mean())
        own.append((ratios[later] > np.quantile(ratios[~later], 0.99)).mean())
    assert 0.005 < np.mean(held) < 0.02
    assert np.mean(own) > 2 * np.mean(held)


def test_alarms_hold_their_rate_whatever_number_of_signals_makes_one(tmp_path: Path) -> None:
    shares, limits = [], []
    for persistence in (1, 3):
        found, seen = fitted(tmp_path, table_of(series(8000, 3), 4000), persistence=persistence, pca={"lags": 0})
        shares.append(alarms_of(found.scorer, seen)["acting"][~seen.is_reference].mean())
        limits.append(found.scorer.references[""].limits["spe"])
    assert all(0.005 < share < 0.02 for share in shares)
    assert limits[1] < limits[0]


def test_a_broken_relation_is_found_and_its_variable_named_where_no_chart_of_one_variable_sees_it(
    tmp_path: Path,
) -> None:
    x = series(1500, 4, noise=0.1)
    strongest = int(x.std(axis=0).argmax())
    x[1000:, strongest] = np.random.default_rng(5).permutation(x[1000:, strongest])  # as large as ever, but by itself
    found, seen = fitted(tmp_path, table_of(x, 800), pca={"lags": 0})
    alarms = alarms_of(found.scorer, seen)
    assert alarms["acting"][1000:].mean() > 0.6
    assert alarms["shewhart"][1000:].mean() < 0.05
    acting = np.flatnonzero(alarms["acting"])[-20:]
    reasons = [json.loads(each or "[]") for each in found.scorer.reasons(seen.table, acting, 2)]
    assert sum(each[0]["feature"] == f"v{strongest}" for each in reasons) > 15
    assert reasons[0][0]["value"] == pytest.approx(x[acting[0], strongest], rel=1e-4)


def test_validation_finds_the_number_of_factors_and_the_memory() -> None:
    still = rows_of(series(600, 6, variables=12, factors=3), np.zeros(600), np.arange(600.0), None)
    assert validation_loss(still, Pca(lags=0), 0).argmin() + 1 == 3
    spec = MonitorSpec.model_validate({**BASE, "table": "t.csv"})
    assert learn(still, spec).choice.lags == 0
    # A walk that only two rows together tell: each variable goes on where it went.
    rng = np.random.default_rng(7)
    z = np.zeros((600, 6))
    for row in range(2, 600):
        z[row] = 1.6 * z[row - 1] - 0.8 * z[row - 2] + rng.normal(size=6)
    walk = rows_of(z, np.zeros(600), np.arange(600.0), None)
    assert learn(walk, spec).choice.lags >= 2


def test_gross_outliers_of_the_reference_do_not_raise_the_limits() -> None:
    clean = series(600, 8)
    spoilt = clean.copy()
    spoilt[::60] += 25.0
    spec = MonitorSpec.model_validate({**BASE, "table": "t.csv", "pca": {"lags": 0}})
    place = np.arange(600.0)
    good, bad = (learn(rows_of(x, np.zeros(600), place, None), spec) for x in (clean, spoilt))
    assert bad.screened == 10
    assert good.screened == 0
    assert bad.reference.limits["spe"] == pytest.approx(good.reference.limits["spe"], rel=0.15)


def test_blocks_are_held_out_whole_over_all_groups_and_with_a_gap() -> None:
    group, time = np.repeat([0, 1], 100), np.tile(np.arange(100.0), 2)
    rows = rows_of(np.zeros((200, 2)), group, time, None)
    seen = np.zeros(200, dtype=int)
    for learnt, out in held_out(rows, 4, 0.05, 3):
        seen += out
        assert set(rows.tick[out]) == set(range(int(rows.tick[out].min()), int(rows.tick[out].max()) + 1))
        assert np.abs(rows.tick[learnt][:, None] - rows.tick[out]).min() > 5
    assert (seen == 1).all()


def test_rows_follow_each_other_within_a_group_and_not_over_a_gap() -> None:
    order, before = follow(np.array([1, 0, 1, 0, 1]), np.array([3.0, 5.0, 1.0, 4.0, 2.0]), 1.5)
    assert order.tolist() == [3, 1, 2, 4, 0]
    assert before.tolist() == [0, 1, 0, 1, 2]
    _, before = follow(np.zeros(4), np.array([0.0, 1.0, 4.0, 5.0]), 1.5)
    assert before.tolist() == [0, 1, 0, 1]
    assert np.isnan(lowest_of_run(np.arange(4.0), before, 2)).tolist() == [True, False, True, False]
    assert lowest_of_run(np.array([5.0, 1.0, 4.0, 3.0]), np.arange(4), 2)[1:].tolist() == [1.0, 1.0, 3.0]


def test_a_run_that_loses_a_row_begins_anew_after_it() -> None:
    rows = rows_of(np.zeros((6, 1)), np.zeros(6), np.arange(6.0), None)
    kept = rows.take(np.array([True, True, False, True, True, True]))
    assert kept.before.tolist() == [0, 1, 0, 1, 2]


def test_rows_in_any_order_and_one_by_one_get_the_same_answers(tmp_path: Path) -> None:
    found, seen = fitted(tmp_path, table_of(series(500, 9, memory=0.9), 400), pca={"lags": 2}, persistence=2)
    whole = found.scorer.predict(seen.table)
    mixed = np.random.default_rng(0).permutation(500)
    shuffled = found.scorer.predict(seen.table.take(pa.array(mixed)))
    np.testing.assert_allclose(shuffled["value"], whole["value"][mixed])
    back = found.scorer.rows_before
    assert back == 3
    for row in (back, 250, 499):
        alone = found.scorer.predict(seen.table.slice(row - back, back + 1))
        assert alone["value"][-1] == pytest.approx(whole["value"][row])
        assert alone["is_flagged"][-1] == whole["is_flagged"][row]


def test_missing_values_count_as_usual_until_most_are_missing(tmp_path: Path) -> None:
    x = series(500, 11)
    x[450, 0] = np.nan
    x[460, :6] = np.nan
    found, seen = fitted(tmp_path, table_of(x, 400), pca={"lags": 0})
    value = found.scorer.predict(seen.table)["value"]
    assert np.isfinite(value[450])
    assert np.isnan(value[460])


def test_each_group_has_its_own_reference_and_a_new_one_has_none(tmp_path: Path) -> None:
    x = np.vstack([series(300, 12), series(300, 13) + 50.0, series(20, 14)])
    machine = ["a"] * 300 + ["b"] * 300 + ["c"] * 20
    table = table_of(x, 0, machine=machine).drop_columns(["is_reference"])
    found, seen = fitted(tmp_path, table, group="machine", references="each", reference={"share": 0.8})
    value = found.scorer.predict(seen.table)["value"]
    assert set(found.scorer.references) == {"a", "b"}
    assert any("c has 16 reference rows" in note for note in found.notes)
    assert np.nanmedian(value[300:600]) < 1
    assert np.isnan(value[600:]).all()


def test_reasons_are_told_where_one_group_has_a_row_under_alarm_and_the_other_none(tmp_path: Path) -> None:
    x = series(400, 16)
    table = table_of(x, 0, machine=["m1", "m2"] * 200).drop_columns(["is_reference"])
    found, seen = fitted(tmp_path, table, group="machine", references="each", reference={"share": 0.8})
    acting = np.flatnonzero(np.asarray(seen.table["machine"]) == "m1")[-2:]
    reasons = found.scorer.reasons(seen.table, acting, 2)
    assert [len(json.loads(each or "[]")) for each in reasons] == [2, 2]


def test_groups_that_never_had_so_many_rows_in_a_row_wait() -> None:
    held = {name: np.arange(60.0) for name in ("t2", "spe")}
    before = np.tile([0, 1], 30)
    assert limits_of(held, before, 0.1, 2)["t2"] > 0
    with pytest.raises(NotYetError, match="rows in a row"):
        limits_of(held, before, 0.1, 3)


def test_the_reference_of_days_does_not_grow(tmp_path: Path) -> None:
    table = table_of(series(4000, 15), 0).drop_columns(["is_reference"])
    spec = {**BASE, "reference": {"days": 1}, "table": str(tmp_path / "rows.parquet")}
    for rows in (2000, 4000):
        pq.write_table(table.slice(0, rows), tmp_path / "rows.parquet")
        seen = observe(MonitorSpec.model_validate(spec), ModelContext(home=Home(tmp_path)))
        assert seen.is_reference.sum() == 1440


def test_a_bundle_answers_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    found, seen = fitted(tmp_path, table_of(series(400, 16), 300))
    found.save(tmp_path)
    again = Scorer.load(tmp_path).predict(seen.table)
    np.testing.assert_array_equal(again["value"], found.scorer.predict(seen.table)["value"])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"reference": {"column": "a"}}, "write both or none"),
        ({"reference": {"share": 0.5, "days": 3}}, "one of"),
        ({"references": "each"}, "needs `group`"),
        ({"pca": {"components": 3, "explained": 0.9}}, "none of them"),
        ({"pca": {"lags": -1}}, "greater than or equal to 0"),
        ({"persistance": 3}, "Extra inputs"),
    ],
)
def test_wrong_attributes_are_refused_with_the_reason(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        MonitorSpec.model_validate({**BASE, "table": "t.csv", **wrong})


def test_a_reference_of_a_few_rows_waits_and_one_without_variables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotYetError, match="too short"):
        fitted(tmp_path, table_of(series(100, 17), 20))
    silent = np.full((200, 3), np.nan)
    with pytest.raises(NotYetError, match="too little was measured yet"):
        fitted(tmp_path, table_of(silent, 150))
    flat = np.ones((200, 3))
    with pytest.raises(CellworksError, match="at least two columns") as told:
        fitted(tmp_path, table_of(flat, 150))
    assert "v0: constant in the reference (1)" in str(told.value)


def test_a_column_that_the_table_lacks_is_told(tmp_path: Path) -> None:
    with pytest.raises(CellworksError, match="lacks columns") as told:
        fitted(tmp_path, table_of(series(100, 18), 80), group="machine")
    assert "machine" in str(told.value)


def test_limits_of_held_rows_are_beyond_those_of_the_same_rows_alone() -> None:
    values = {"t2": np.arange(1.0, 1001.0), "spe": np.arange(1000.0, 0.0, -1.0), "shewhart": np.ones(1000)}
    limits = limits_of(values, np.arange(1000), 0.01, 1)
    assert limits["t2"] == limits["spe"] == 991.0
    combined = np.maximum(values["t2"] / 991, values["spe"] / 991) / limits["combined"]
    assert (combined > 1).mean() <= 0.01
