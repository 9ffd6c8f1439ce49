"""Charts of single variables: against what a person would count by hand, and what they find beside the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.context import ModelContext
from models.process_monitor.charts import MEMORY, cusum, ewma, rule_signals, xbar
from models.process_monitor.charts import Charts as VariableCharts
from models.process_monitor.family import judge, train
from models.process_monitor.spec import MonitorSpec, Rule
from models.process_monitor.studies import capabilities, gauge_studies
from models.registry.client import open_client
from pipelines.charts.kernel import Charts, signals
from pipelines.charts.rules import mask_of
from pipelines.control_plan.errors import CellworksError
from tests.models.test_process_monitor import BASE, fitted, series, table_of

RUNS = st.lists(st.lists(st.floats(-4, 4), min_size=1, max_size=40), min_size=1, max_size=4)


def joined(runs: list[list[float]]) -> tuple[Any, Any]:
    """Runs one after the other: values (rows, 1) and rows before each in its run."""
    z = np.concatenate([np.asarray(run) for run in runs])[:, None]
    return z, np.concatenate([np.arange(len(run)) for run in runs])


@settings(max_examples=60, deadline=None)
@given(RUNS, st.floats(0.1, 0.9))
def test_ewma_is_the_recursion_from_each_runs_first_row(runs: list[list[float]], weight: float) -> None:
    expected = []
    for run in runs:
        mean = 0.0
        for number, value in enumerate(run, start=1):
            mean = (1 - weight) * mean + weight * value
            expected.append(mean / np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * number))))
    np.testing.assert_allclose(ewma(*joined(runs), weight)[:, 0], expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(RUNS, st.floats(0.0, 1.0))
def test_cusum_is_the_recursion_from_each_runs_first_row(runs: list[list[float]], slack: float) -> None:
    expected = []
    for run in runs:
        high = low = 0.0
        for value in run:
            high, low = max(0.0, high + value - slack), max(0.0, low - value - slack)
            expected.append(max(high, low))
    np.testing.assert_allclose(cusum(*joined(runs), slack)[:, 0], expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(RUNS, st.sampled_from(sorted(get_args(Rule))))
def test_run_rules_are_those_of_the_plants_charts(runs: list[list[float]], rule: str) -> None:
    z, before = joined(runs)
    asked = Charts(centre=0.0, sigma=1.0, rules=mask_of([rule]))
    told = signals(z[:, 0].copy(), np.array([0, len(z)]), asked, begins=before == 0)
    assert np.flatnonzero(rule_signals(z, before, rule)[:, 0]).tolist() == told.point.tolist()


@settings(max_examples=60, deadline=None)
@given(RUNS, st.integers(2, 25))
def test_xbar_is_the_mean_of_the_last_rows_of_a_run(runs: list[list[float]], rows: int) -> None:
    expected = [
        np.mean(run[max(0, place - rows + 1) : place + 1]) * np.sqrt(min(place + 1, rows))
        for run in runs
        for place in range(len(run))
    ]
    np.testing.assert_allclose(xbar(*joined(runs), rows)[:, 0], expected, atol=1e-9)


BY_HAND: dict[str, tuple[list[float], list[int]]] = {
    "two_of_three": ([0, 2.1, 0, 2.1], [3]),
    "four_of_five": ([1.1, 1.1, 0, 1.1, 1.1], [4]),
    "eight_on_a_side": ([0.1] * 9, [7, 8]),
    "nine_on_a_side": ([-0.1] * 10, [8, 9]),
    "six_rising_or_falling": ([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.4], [5]),
    "fourteen_alternating": ([1.0, -1.0] * 7 + [-1.0], [13]),
    "fifteen_within_1_sigma": ([0.9, -0.9, 0.5] * 5 + [1.1], [14]),
    "eight_beyond_1_sigma": ([1.1, -1.1] * 4 + [0.0], [7]),
}


@pytest.mark.parametrize("rule", sorted(BY_HAND))
def test_a_rule_signals_where_a_person_counts_it_and_begins_anew_with_a_run(rule: str) -> None:
    values, signals = BY_HAND[rule]
    z, before = joined([values])
    assert np.flatnonzero(rule_signals(z, before, rule)[:, 0]).tolist() == signals
    cut = signals[0]
    z, before = joined([values[:cut], values[cut : cut + 1]])
    assert not rule_signals(z, before, rule).any()
    gone = np.asarray(values, dtype=float)[:, None]
    gone[signals[0] - 1] = np.nan
    if rule not in ("two_of_three", "four_of_five"):  # those do without one of their points
        assert not rule_signals(gone, np.arange(len(gone)), rule)[: signals[0] + 1].any()


def charted(tmp_path: Path, x: Any, reference: int, **charts: Any) -> Any:
    """Flags, classes and reasons of a monitor that acts on its charts."""
    found, seen = fitted(tmp_path, table_of(x, reference), statistic="charts", charts=charts)
    return found, seen, found.scorer.predict(seen.table)


def test_a_small_lasting_shift_of_one_variable_is_found_by_ewma_sooner_than_by_single_values(tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(3000, 4))
    x[2500:, 2] += 1.0
    found_share, named = {}, {}
    for kind in ("individuals", "ewma", "cusum", "xbar"):
        found, seen, told = charted(tmp_path, x, 2000, kinds=[kind])
        assert told["is_flagged"][2000:2500].mean() < 0.04, kind
        found_share[kind] = told["is_flagged"][2500:].mean()
        flagged = 2500 + np.flatnonzero(told["is_flagged"][2500:])
        named[kind] = np.mean(['"v2"' in str(each) for each in found.scorer.reasons(seen.table, flagged, 1)])
    for kind in ("ewma", "cusum", "xbar"):
        assert found_share[kind] > 3 * found_share["individuals"], kind
        assert named[kind] > 0.9, kind


def test_what_follows_itself_is_charted_by_what_the_row_before_does_not_tell(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(6000, 2))
    for row in range(1, len(x)):
        x[row, 0] = 0.9 * x[row - 1, 0] + np.sqrt(1 - 0.81) * x[row, 0]
    found, _, _ = charted(tmp_path, x, 5000)
    chart = found.scorer.references[""].content["charts"]
    assert chart["carry"][0] == pytest.approx(0.9, abs=0.03)
    assert chart["carry"][1] == 0.0
    assert chart["sigma"][0] == pytest.approx(np.sqrt(1 - 0.81), rel=0.05)
    assert chart["sigma"][1] == pytest.approx(1.0, rel=0.05)
    raw, _, _ = charted(tmp_path, x, 5000, residuals="never")
    assert raw.scorer.references[""].content["charts"]["carry"] == [0.0, 0.0]


def later_rate(tmp_path: Path, table: pa.Table) -> tuple[float, Any]:
    """Share of later rows in alarm where each machine has nine reference levels of twenty rows, and the monitor."""
    found, seen = fitted(
        tmp_path, table, statistic="charts", charts={"kinds": ["ewma"], "weight": 0.1, "residuals": "never"},
        pca={"lags": 0, "components": 1}, reference={"share": 0.15}, group="machine", references="each",
    )  # fmt: skip
    return found.scorer.predict(seen.table)["is_flagged"][~seen.is_reference].mean(), found.scorer


def test_levels_that_last_are_held_by_limits_of_all_machines_together(tmp_path: Path) -> None:
    alone, together = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        level = np.repeat(rng.normal(size=(8, 60, 5)), 20, axis=1)
        x = (level + rng.normal(size=level.shape)).reshape(-1, 5)
        machine = np.repeat([f"m{each}" for each in range(8)], 1200)
        table = table_of(x, 0, machine=machine).drop_columns(["is_reference"])
        rate, monitor = later_rate(tmp_path, table)
        together.append(rate)
        alone += [later_rate(tmp_path, table.slice(1200 * each, 1200))[0] for each in range(3)]
    # The largest of nine levels is exceeded by one later level of ten.
    assert np.mean(together) < 0.015
    assert np.mean(alone) > 2 * np.mean(together)
    limits = [each.limits for each in monitor.references.values()]
    assert len({each["ewma"] for each in limits}) == len({each["charts"] for each in limits}) == 1
    assert len({each["spe"] for each in limits}) == 8
    own = {"statistic": "charts", "group": "machine", "references": "each", "table": "marts.x"}
    assert MonitorSpec.model_validate({**BASE, **own, "charts": {}}).has_common_limits
    for other in (
        {"charts": {"kinds": ["cusum"]}},
        {"charts": {}, "persistence": 2},
        {"charts": {}, "references": "one"},
    ):
        assert not MonitorSpec.model_validate({**BASE, **own, **other}).has_common_limits


def test_the_first_row_of_a_run_is_judged_by_how_much_the_variable_itself_varies() -> None:
    chart = {"centre": [10.0], "sigma": [0.5], "carry": [0.6], "kinds": ["individuals"], "rules": []}
    x, before = np.array([[12.0], [12.0], [7.5]]), np.array([0, 1, 0])
    # With a share of 0.6 carried, the variable varies by sigma / sqrt(1 - 0.36) = 0.625: 2 above and 2.5 below.
    found = VariableCharts(chart).deviations(x, before)[:, 0]
    np.testing.assert_allclose(found, [2.0 / 0.625, (2.0 - 0.6 * 2.0) / 0.5, -2.5 / 0.625])


def test_one_variable_alone_can_be_charted_and_a_rule_signals_beside_the_limits(tmp_path: Path) -> None:
    x = np.random.default_rng(7).normal(size=(1200, 1))
    x[1100:1120] = np.linspace(0.3, 0.31, 20)[:, None]
    _, _, plain = charted(tmp_path, x, 1000, kinds=["individuals"])
    assert not plain["is_flagged"][1100:1120].any()
    found, seen, told = charted(tmp_path, x, 1000, kinds=["individuals"], rules=["nine_on_a_side"])
    assert told["is_flagged"][1109:1120].all()
    assert set(told["class"][1109:1120]) == {"run rule"}
    assert '"v0"' in str(found.scorer.reasons(seen.table, np.array([1115]), 1)[0])


def test_an_answer_is_the_same_when_only_as_many_rows_before_it_are_read_as_it_says(tmp_path: Path) -> None:
    found, seen, told = charted(
        tmp_path, series(1500, 8), 1000, kinds=["individuals", "xbar", "ewma", "cusum"], rules=["eight_on_a_side"]
    )
    assert found.scorer.rows_before >= MEMORY
    first = 1200
    part = seen.table.slice(first - found.scorer.rows_before)
    again = found.scorer.predict(part)
    np.testing.assert_allclose(again["value"][found.scorer.rows_before :], told["value"][first:], rtol=1e-9)
    np.testing.assert_array_equal(again["is_flagged"][found.scorer.rows_before :], told["is_flagged"][first:])


def test_charts_that_are_not_described_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValidationError, match=r"`charts: \{\}` takes defaults"):
        MonitorSpec.model_validate({**BASE, "table": "marts.x", "statistic": "charts"})
    with pytest.raises(ValidationError, match="lower limit lies below"):
        MonitorSpec.model_validate({**BASE, "table": "marts.x", "capability": {"v": {"lower": 2, "upper": 1}}})
    with pytest.raises(ValidationError, match="a lower limit, an upper limit, or both"):
        MonitorSpec.model_validate({**BASE, "table": "marts.x", "capability": {"v": {}}})


def test_a_table_of_one_number_says_that_charts_would_do(tmp_path: Path) -> None:
    with pytest.raises(CellworksError, match="charts alone need one"):
        fitted(tmp_path, pa.table(table_of(series(300, 9)[:, :1], 300)))


def study_file(folder: Path, noise: float) -> str:
    """A gauge study of ten parts, three operators and three trials; the parts differ by 1."""
    rng = np.random.default_rng(3)
    parts = rng.normal(size=10)
    rows = [
        (part, operator, parts[part] + noise * rng.normal()) for part in range(10) for operator in "abc" for _ in "123"
    ]
    file = folder / "study.parquet"
    pq.write_table(pa.table(dict(zip(("part", "operator", "value"), zip(*rows, strict=True), strict=True))), file)
    return str(file)


def monitor_of(folder: Path, x: Any, gauge_noise: float) -> MonitorSpec:
    file = folder / "rows.parquet"
    pq.write_table(table_of(x, 1500), file)
    gauge = {"table": study_file(folder, gauge_noise), "part": "part", "operator": "operator", "value": "value"}
    return MonitorSpec.model_validate(
        {
            **BASE,
            "table": str(file),
            "statistic": "charts",
            "charts": {},
            "capability": {"v0": {"lower": -4, "upper": 4}, "v1": {"upper": 3}},
            "gauges": {"v0": {**gauge, "tolerance": 8.0}},
        }
    )


@pytest.mark.slow
def test_a_monitor_with_charts_is_registered_judged_and_loads_alone(ctx: ModelContext, tmp_path: Path) -> None:
    x = np.random.default_rng(11).normal(size=(1500, 2))
    x[1150:, 1] += 1.5  # after what is learnt from: v1 is no longer what it was
    spec = monitor_of(tmp_path, x, gauge_noise=0.05)
    trained = train(spec, ctx)
    card = open_client(ctx).get_model_version(spec.name, trained.version).description
    v0, v1 = (line for line in card.splitlines() if line.startswith(("| v0 | 1", "| v1 | none")))
    assert float(v0.split("|")[2].split()[0]) == pytest.approx(4 / 3, rel=0.1)
    assert "not stable" in v1
    verdict = judge(spec, ctx, trained)
    assert verdict.gate("gauge").passed
    assert verdict.gate("gauge").figures["v0"] == pytest.approx(6 * 0.05 / 8, rel=0.3)

    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(str(trained.registered.bundle.parents[1]))
    frame = trained.seen.table.to_pandas()
    told = trained.fitted.scorer.predict(trained.seen.table)
    np.testing.assert_allclose(loaded.predict(frame)["value"], told["value"], rtol=1e-12)


@pytest.mark.slow
def test_a_gauge_that_cannot_tell_parts_refuses_the_monitor_and_a_broken_study_is_told(
    ctx: ModelContext, tmp_path: Path
) -> None:
    spec = monitor_of(tmp_path, np.random.default_rng(12).normal(size=(1500, 2)), gauge_noise=0.6)
    verdict = judge(spec, ctx, train(spec, ctx))
    assert not verdict.gate("gauge").passed
    assert not verdict.passed
    file = Path(spec.gauges["v0"].table)
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(CellworksError, match="not complete") as caught:
        gauge_studies(spec, ctx)
    assert caught.value.where.endswith("gauges.v0")


def test_a_specification_of_what_is_not_watched_is_told(tmp_path: Path) -> None:
    x = np.random.default_rng(13).normal(size=(300, 2))
    found, seen = fitted(tmp_path, table_of(x, 300))
    spec = MonitorSpec.model_validate({**BASE, "table": "rows.parquet", "capability": {"at": {"upper": 1}}})
    with pytest.raises(CellworksError, match="not watched"):
        capabilities(spec, seen, seen.is_reference, seen.is_reference)
    assert found.rows == 300
