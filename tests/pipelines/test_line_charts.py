"""A line's charts from the historian to few causes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from duckdb import DuckDBPyConnection

from pipelines.charts.rules import RULES
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.line_charts.alarms import Alarm, Budget, alarms_of, groups_of, limits_for
from pipelines.line_charts.line import SETTLE_MIN, LineCharts, chart_line
from pipelines.line_charts.minutes import Point, read_minutes
from pipelines.line_charts.phase_one import learn

SITE = load_site(Path(__file__).parents[2] / "infra" / "sites" / "demo")
BEGIN = datetime(2026, 9, 1)  # noqa: DTZ001 - the lake's times are UTC without saying so
DAYS, REFERENCE_DAYS, MACHINES, EACH = 6, 4, 20, 5
MINUTES = DAYS * 1440
BUDGET = Budget(groups_per_day=48.0)


def _noise(rng: np.random.Generator, rows: int, memory: float) -> np.ndarray:
    """Values of unit spread that remember the minute before."""
    from scipy.signal import lfilter

    shocks = rng.normal(0, np.sqrt(1 - memory**2), (rows, MINUTES))
    return np.asarray(lfilter([1.0], [1.0, -memory], shocks, axis=1))


def _points() -> list[Point]:
    return [
        Point(no, f"machine_{no // EACH:02}.value_c.zone{no % EACH}", f"machine_{no // EACH:02}", "value_c", no // EACH)
        for no in range(MACHINES * EACH)
    ]


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Half of the points are independent from minute to minute, half remember for an hour."""
    rng = np.random.default_rng(1)
    half = MACHINES * EACH // 2
    return 50 + np.vstack([_noise(rng, half, 0.0), _noise(rng, half, 0.98)]).astype(np.float32)


def test_points_are_charted_by_what_they_remember(values: np.ndarray) -> None:
    phase = learn(np.vstack([values, np.full((1, MINUTES), 7.0, np.float32)]), REFERENCE_DAYS * 1440)
    minute = next(track for track in phase.tracks if track.size_min == 1)
    assert set(minute.place) == set(range(len(values) // 2))
    assert np.allclose(minute.sigma, 1.0, atol=0.05)
    rest = [track for track in phase.tracks if track.size_min > 1]
    assert sorted(place for track in rest for place in track.place) == list(range(len(values) // 2, len(values)))
    assert phase.left_out.tolist() == [len(values)], "what never changes has no chart"
    for track in rest:
        lag = [np.corrcoef(row[1:][ok], row[:-1][ok])[0, 1] for row in track.values if (ok := _pairs(row)).any()]
        assert abs(np.mean(lag)) < 0.1, "what is charted remembers no more"


def _pairs(row: np.ndarray) -> np.ndarray:
    return np.isfinite(row[1:]) & np.isfinite(row[:-1])


def test_a_healthy_line_speaks_as_often_as_its_budget_says(values: np.ndarray) -> None:
    phase = learn(values, REFERENCE_DAYS * 1440)
    limits = limits_for(phase, BUDGET)
    assert limits.limit_sigmas > 3.0, "tens of thousands of values a day have few alarms to share"
    found = groups_of(alarms_of(phase, limits, REFERENCE_DAYS * 1440), _points(), BUDGET)
    expected = BUDGET.groups_per_day * (DAYS - REFERENCE_DAYS)
    # Counts of rare events, a little more often as centre and sigma are learnt from four days.
    assert 0.2 * expected < len(found) < 1.5 * expected


def test_a_shift_is_told_first_by_the_machine_that_it_is_of(values: np.ndarray) -> None:
    shifted = values.copy()
    begins = REFERENCE_DAYS * 1440 + 600
    shifted[15, begins:] += 3.0
    phase = learn(shifted, REFERENCE_DAYS * 1440)
    alarms = alarms_of(phase, limits_for(phase, BUDGET), REFERENCE_DAYS * 1440)
    found = groups_of(alarms, _points(), BUDGET)
    near = [each for each in found if begins <= each.first.at < begins + 15]
    assert [each.point.id for each in near] == ["machine_03.value_c.zone0"]


def test_a_storm_of_three_hundred_is_one_cause_and_the_first_is_told_first() -> None:
    points = [Point(no, f"m{no // 5}.t{no % 5}", f"m{no // 5}", "t", 90 - no // 5) for no in range(300)]
    storm = [Alarm(601, place, ("beyond_limit",), 1) for place in range(300)]
    before, after = Alarm(600, 7, ("ewma_high",), 1), Alarm(2000, 9, ("ewma_low",), 1)
    first, last = groups_of([before, *storm, after], points, BUDGET)
    assert (first.point.id, first.alarms, len(first.machines)) == ("m1.t2", 301, 60)
    assert first.machines[0] == "m1"
    assert (last.point.id, last.alarms) == ("m1.t4", 1)
    [upstream] = groups_of(storm, points, BUDGET)
    assert upstream.point.machine_id == "m59", "of those at once the one furthest upstream"


def _lake(values: np.ndarray, stopped: tuple[int, int]) -> DuckDBPyConnection:
    """Tables as the lake has them: two stackers of the site, of which the first stands for some minutes."""
    con = duckdb.connect()
    for schema in ("staging", "marts"):
        con.execute(f"CREATE SCHEMA {schema}")
    rows, minutes = values.shape
    table = pa.table(
        {
            "control_point_no": pa.array(np.repeat(np.arange(rows), minutes), pa.int32()),
            "event_at": pa.array(
                np.tile(np.datetime64(BEGIN, "us") + np.arange(minutes) * np.timedelta64(1, "m"), rows)
            ),
            "value": pa.array(values.ravel(), pa.float32()),
        }
    )
    con.register("delivered", table)
    con.execute(
        "CREATE TABLE staging.stg_historian__telemetry AS "
        "SELECT *, event_at::DATE AS production_day FROM delivered ORDER BY event_at"
    )
    con.execute(
        "CREATE TABLE marts.control_point AS SELECT i::INTEGER AS control_point_no, 'stacking' AS step_code, "
        "'stacker_' || (1 + i // 2) AS machine_id, 'offset_mm' AS characteristic_code, "
        "'stacker_' || (1 + i // 2) || '.offset_mm.head' || (1 + i % 2) AS control_point_id FROM range(?) t(i)",
        [rows],
    )
    con.execute(
        "CREATE TABLE marts.machine_state AS "
        "SELECT 'stacker_1' AS machine_id, 'Held' AS state_code, ?::TIMESTAMP AS begun_at, ?::TIMESTAMP AS ended_at",
        [BEGIN + timedelta(minutes=stopped[0]), BEGIN + timedelta(minutes=stopped[1])],
    )
    return con


def _charted(con: DuckDBPyConnection, reference_days: int) -> LineCharts:
    return chart_line(con, SITE, days=30, reference_days=reference_days, budget_share=0.01, n_threads=1)


def test_what_a_machine_shows_while_it_stands_is_left_out(values: np.ndarray) -> None:
    con = _lake(values[:4], (100, 160))
    found = read_minutes(con, {step.code: step.order for step in SITE.steps}, 30, SETTLE_MIN)
    assert [point.id for point in found.points][:2] == ["stacker_1.offset_mm.head1", "stacker_1.offset_mm.head2"]
    gone = np.flatnonzero(np.isnan(found.values[0]))
    assert (gone[0], gone[-1], len(gone)) == (100, 160 + SETTLE_MIN, 61 + SETTLE_MIN)
    assert not np.isnan(found.values[2:]).any(), "the other one ran"
    assert np.array_equal(found.values[3], values[3])


def test_a_line_is_charted_from_the_historian_to_its_causes(values: np.ndarray) -> None:
    shifted = values[:4].copy()
    shifted[2, REFERENCE_DAYS * 1440 + 30 :] -= 6.0
    found = _charted(_lake(shifted, (100, 160)), REFERENCE_DAYS)
    begins = REFERENCE_DAYS * 1440 + 30
    assert [each.point.id for each in found.groups if begins <= each.first.at < begins + 5] == [
        "stacker_2.offset_mm.head1"
    ]
    assert found.groups_per_operator_and_window < 2 * 0.01, "a share of the budget was given, and is kept by and large"
    assert (found.days, found.operators) == (DAYS - REFERENCE_DAYS, SITE.operators_per_shift)
    assert found.minute_signals.keys() == {rule.name for rule in RULES}
    assert found.minute_signals["nine_on_a_side"] > 0.9 * (DAYS - REFERENCE_DAYS) * 1440
    assert found.seconds.keys() == {"reading", "learning", "minute_signals", "alarms"}


def test_too_few_days_are_told_with_what_is_there(values: np.ndarray) -> None:
    con = _lake(values[:4], (100, 160))
    with pytest.raises(CellworksError, match=r"6\.0 days"):
        _charted(con, 6)
    con.execute("DELETE FROM staging.stg_historian__telemetry")
    with pytest.raises(CellworksError, match="nothing to chart"):
        _charted(con, 2)
