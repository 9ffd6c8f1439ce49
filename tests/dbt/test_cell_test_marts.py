"""Marts of the test area: channels beside their cabinet, parameters against golden values, the fate of cells."""

from __future__ import annotations

from itertools import groupby
from statistics import fmean, median, stdev

import duckdb
import pytest
from scipy.stats import norm, t

from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
pytestmark = pytest.mark.slow


def test_what_a_cabinet_shares_is_not_the_channels(home: Home) -> None:
    with reader(home) as con:
        off = con.execute(
            """
            WITH middle AS (
                SELECT machine_id, production_day, median(contact_resistance_mohm) AS cabinet
                FROM staging.stg_tester__formation GROUP BY ALL),
            wanted AS (
                SELECT channel_id, production_day, count(*) AS cells, avg(contact_resistance_mohm - cabinet) AS beyond
                FROM staging.stg_tester__formation JOIN middle USING (machine_id, production_day) GROUP BY ALL)
            SELECT count(*) FILTER (
                day.channel_id IS NULL OR wanted.channel_id IS NULL OR day.cell_count <> cells
                OR abs(day.contact_resistance_against_cabinet_mohm - beyond) > 1e-5), count(*)
            FROM marts.formation_channel_day AS day FULL JOIN wanted USING (channel_id, production_day)
            """
        ).fetchone()
    assert off is not None
    assert off[0] == 0
    assert off[1] > 100


def test_a_channel_stands_beside_its_own_earlier_days_alone(home: Home) -> None:
    """The plant of these tests is too small for a channel to have cells twice: the model's SQL over rows made up."""
    compiled = home.dbt_dir / "target" / "compiled" / "cellworks" / "models" / "marts" / "test"
    with duckdb.connect() as con:
        con.execute("ATTACH ':memory:' AS lake; CREATE SCHEMA lake.staging")
        con.execute(
            """
            CREATE TABLE lake.staging.stg_tester__formation AS
            SELECT 'channel_' || hash(cell, day) % 9 AS channel_id, 'cabinet_' || hash(cell, day) % 9 % 2 AS machine_id,
                date '2026-09-01' + day::INTEGER AS production_day, timestamp '2026-10-01' AS known_at,
                hash(cell, day, 'a') % 1000 / 100 AS contact_resistance_mohm, 1.0 AS channel_current_error_pct,
                2.0 AS cv_time_s, 3.0 AS formation_resistance_mohm, 4.0 AS charge_capacity_ah
            FROM range(14) AS cells (cell), range(12) AS days (day)
            """
        )
        rows = con.execute(
            "SELECT channel_id, machine_id, production_day, cell_count, contact_resistance_against_cabinet_mohm, "
            "contact_resistance_deviation_sigma, cv_time_deviation_sigma "
            f"FROM ({(compiled / 'formation_channel_day.sql').read_text(encoding='utf-8')}) "
            "ORDER BY production_day, channel_id"
        ).fetchall()
    past: dict[str, list[tuple[int, float]]] = {}
    spreads: dict[str, list[float]] = {}
    told = 0
    for _, of_day in groupby(rows, key=lambda row: row[2]):
        away: dict[str, list[float]] = {}
        for channel, machine, _, cells, mean, figure, of_what_never_varies in list(of_day):
            assert of_what_never_varies is None
            before, spread = past.setdefault(channel, []), spreads.get(machine)
            if before:
                known = sum(each for each, _ in before)
                middle = sum(each * value for each, value in before) / known
                own = (mean - middle) / (1 / cells + 1 / known) ** 0.5
                away.setdefault(machine, []).append(abs(own))
            if before and spread:
                told += 1
                assert figure == pytest.approx(own / fmean(spread), rel=1e-3, abs=1e-3)
            else:
                assert figure is None
            before.append((cells, mean))
        for machine, sizes in away.items():
            spreads.setdefault(machine, []).append(1.4826 * median(sizes))
    assert told > 50


@pytest.mark.parametrize(
    ("code", "feed", "machine", "column", "only"),
    [
        # Its tolerance is not the same on both sides.
        ("bake_time_h", "mes__filling", "oven_id", "bake_time_h", "true"),
        ("weld_energy_j", "mes__assembly", "tab_welder_id", "weld_energy_j", "true"),
        ("anode_line_load_n_mm", "mes__calendering", "machine_id", "line_load_n_mm", "electrode_code = 'anode'"),
    ],
)
def test_a_parameter_is_held_against_its_golden_value(
    home: Home, code: str, feed: str, machine: str, column: str, only: str
) -> None:
    row = SITE.plan.by_code[code]
    with reader(home) as con:
        wanted = con.execute(
            f"SELECT {machine}, production_day, avg({column}), avg(({column} NOT BETWEEN $low AND $high)::INTEGER) "
            f"FROM staging.stg_{feed} WHERE {only} GROUP BY ALL ORDER BY ALL",
            {"low": row.lsl, "high": row.usl},
        ).fetchall()
        found = con.execute(
            "SELECT machine_id, production_day, golden_deviation, outside_ratio FROM marts.golden_parameter_day "
            "WHERE characteristic_code = ? ORDER BY ALL",
            [code],
        ).fetchall()
    assert wanted
    assert [each[:2] for each in found] == [each[:2] for each in wanted]
    for (_, _, mean, outside), (_, _, deviation, ratio) in zip(wanted, found, strict=True):
        side = row.usl if mean >= row.nominal else row.lsl
        assert deviation == pytest.approx((mean - row.nominal) / abs(side - row.nominal), abs=1e-4)
        assert ratio == pytest.approx(outside)


def test_a_parameter_is_held_against_the_machines_earlier_shifts(home: Home) -> None:
    with reader(home) as con:
        rows = con.execute(
            "SELECT series_code, machine_id || '/' || characteristic_code, parameter_mean - nominal, parameter_count, "
            "deviation_sigma "
            "FROM marts.golden_parameter_shift ORDER BY series_code, shift_from_at"
        ).fetchall()
    told = 0
    for series, of_series in groupby(rows, key=lambda row: row[0]):
        past: list[float] = []
        weights: list[int] = []
        for _, named, mean, count, figure in of_series:
            assert series == named
            if len(past) < 4 or not stdev(past):
                assert figure is None
            else:
                centre = fmean(past, weights)
                squares = sum(each * (value - centre) ** 2 for value, each in zip(past, weights, strict=True))
                away = (mean - centre) / (squares / (len(past) - 1) * (1 / count + 1 / sum(weights))) ** 0.5
                expected = norm.ppf(t.cdf(away, len(past) - 1))
                # Wallace's approximation errs most on the fewest days and far out.
                assert figure == pytest.approx(expected, rel=0.02, abs=0.03)
                told += 1
            past.append(mean)
            weights.append(count)
    assert told > 200


def test_a_parameters_shift_is_the_mean_of_its_records(home: Home) -> None:
    with reader(home) as con:
        wanted = con.execute(
            "SELECT tab_welder_id, "
            # Early, late and night begin at 6, 14 and 22 o'clock in Shanghai, eight hours ahead.
            "time_bucket(INTERVAL 8 HOURS, event_at, TIMESTAMP '2026-01-01 06:00:00') AS shift_from_at, "
            "count(weld_energy_j), avg(weld_energy_j) FROM staging.stg_mes__assembly WHERE tab_welder_id IS NOT NULL "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        found = con.execute(
            "SELECT machine_id, shift_from_at, parameter_count, parameter_mean FROM marts.golden_parameter_shift "
            "WHERE characteristic_code = 'weld_energy_j' ORDER BY ALL"
        ).fetchall()
    assert wanted
    assert [each[:3] for each in found] == [each[:3] for each in wanted]
    assert [each[3] for each in found] == pytest.approx([each[3] for each in wanted], rel=1e-6)


def test_wear_has_no_golden_value_and_a_machine_that_a_record_does_not_name_none_either(home: Home) -> None:
    with reader(home) as con:
        told = {
            code for (code,) in con.execute("SELECT characteristic_code FROM marts.golden_parameter_day").fetchall()
        }
    plan = SITE.plan.by_code
    assert all(plan[code].type == "process" for code in told)
    assert all(plan[code].lsl is not None and plan[code].usl is not None for code in told)
    # The record of formation names the cabinet and no degasser, that of filling no soak room.
    assert not told & {"lens_transmission_pct", "degas_vacuum_kpa", "soak_temp_c"}


def test_labels_say_what_the_cell_became_and_when_that_was_known(home: Home) -> None:
    with reader(home) as con:
        wrong = con.execute(
            """
            SELECT count(*) FILTER (is_k_value_passed IS DISTINCT FROM (k_value_mv_h <= $most)),
                count(*) FILTER (is_k_value_passed IS NOT NULL AND label.ageing_known_at IS NULL),
                count(*) FILTER (label.capacity_ah IS NOT NULL AND grading_known_at IS NULL),
                count(*) FILTER (label.wetting_index IS NOT NULL AND filling_known_at IS NULL),
                count(*) FILTER (label.is_hipot_passed IS NOT NULL AND hipot_known_at IS NULL),
                count(is_k_value_passed) = 0
            FROM marts.cell_label AS label JOIN marts.cell USING (cell_id)
            """,
            {"most": SITE.plan.by_code["k_value_mv_h"].usl},
        ).fetchall()
    assert wrong == [(0, 0, 0, 0, 0, False)]


def test_a_graded_cell_waits_for_its_module_with_what_its_first_test_said(home: Home) -> None:
    with reader(home) as con:
        graded, seen, without = con.execute(
            "SELECT count(capacity_ah), count(v.cell_id), count(v.cell_id) - count(v.acir_mohm) "
            "FROM marts.cell LEFT JOIN (SELECT cell_id, acir_mohm FROM marts.cell_at_module) AS v USING (cell_id)"
        ).fetchall()[0]
    assert graded == seen > 0
    assert without == 0
