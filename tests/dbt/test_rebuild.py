"""The dbt project on a small plant: what is rebuilt, what stays, and what a step cannot see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PIT_VIEWS, PROJECT, plan_data_of
from pipelines.curation.report import CurateReport
from pipelines.curation.run import LAYER_DOMAINS, curate
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.hashing import table_hash
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_literal

RunAll = Callable[[Home], list[CurateReport]]
SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
TABLES = ("marts.cell", "marts.mother_roll", "marts.machine_hour", "marts.kpi_day", "staging.stg_mes__filling")
pytestmark = pytest.mark.slow
# What the filling's record tells: its own figures, and the lot of electrolyte that went in.
FILLING = {"mes__filling_known_at", "electrolyte_lims__material_result_known_at"}


def hashes(home: Home) -> dict[str, str]:
    with reader(home) as con:
        return {table: table_hash(con, table) for table in TABLES}


def test_nothing_new_calls_no_dbt_and_changes_nothing(home: Home, run_all: RunAll) -> None:
    run_all(home)
    before = hashes(home)
    assert {report.status for report in run_all(home)} == {"unchanged"}
    assert hashes(home) == before


class Corrected(NamedTuple):
    """Two corrections of filled masses of one day: before the cell's formation, and after its formation had begun."""

    day: date
    early: str
    late: str
    others: str
    build_no: int
    seen_before: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def corrected(home: Home, run_all: RunAll) -> Corrected:
    with reader(home) as con:
        early, late, day = con.execute(
            "SELECT min(cell_id), max(cell_id), filling.production_day FROM marts.cell_at_ageing AS seen "
            "JOIN staging.stg_mes__filling AS filling USING (cell_id) WHERE is_entered GROUP BY 3 ORDER BY 3 LIMIT 1"
        ).fetchall()[0]
        others = table_hash(con, "staging.stg_mes__filling", where=f"production_day <> DATE '{day}'")
        before = int(con.execute("SELECT max(build_no) FROM ops.model_build").fetchall()[0][0])
        seen = {step: row for step in PIT_VIEWS for row in seen_from(con, step, late)}
        deliver_correction(con, home, early, "known_at + INTERVAL 1 MINUTE")
        entered_at = seen["formation"]["entered_at"]
        deliver_correction(con, home, late, f"TIMESTAMP '{entered_at}' + INTERVAL 1 MINUTE")
    ingest(home, SITE)
    run_all(home)
    return Corrected(day, early, late, others, before, seen)


def deliver_correction(con: DuckDBPyConnection, home: Home, cell_id: str, known_at: str) -> None:
    file = home.drop_dir / "mes__filling" / f"correction_{cell_id}.csv"
    con.execute(
        "COPY (SELECT * EXCLUDE (_source, _batch_id, production_day) "
        f"REPLACE (3701.5 AS fill_mass_g, {known_at} AS known_at) FROM raw.mes__filling "
        f"WHERE cell_id = {quote_literal(cell_id)} QUALIFY row_number() OVER (ORDER BY known_at DESC) = 1) "
        f"TO {quote_literal(str(file))} (HEADER)"
    )


def seen_from(con: DuckDBPyConnection, step: str, cell_id: str) -> list[dict[str, Any]]:
    """The cell as the step's view shows it; nothing before it has come so far."""
    rows = con.execute(f"SELECT * FROM marts.cell_at_{step} WHERE cell_id = ?", [cell_id]).to_arrow_table().to_pylist()
    assert len(rows) <= 1
    return rows


def test_a_later_correction_wins_and_rebuilds_its_day_only(home: Home, corrected: Corrected) -> None:
    day = corrected.day
    with reader(home) as con:
        for cell_id in (corrected.early, corrected.late):
            value = con.execute("SELECT fill_mass_g FROM marts.cell WHERE cell_id = ?", [cell_id]).fetchall()
            assert value == [(3701.5,)]
        assert table_hash(con, "staging.stg_mes__filling", where=f"production_day <> DATE '{day}'") == corrected.others
        rebuilt = con.execute(
            "SELECT DISTINCT production_day FROM ops.model_day WHERE model = 'stg_mes__filling' AND build_no > ?",
            [corrected.build_no],
        ).fetchall()
        assert rebuilt == [(day,)]


def test_a_correction_is_seen_from_the_steps_entered_after_it_was_known(home: Home, corrected: Corrected) -> None:
    entered_at = corrected.seen_before["formation"]["entered_at"]
    with reader(home) as con:
        assert seen_from(con, "formation", corrected.early)[0]["fill_mass_g"] == 3701.5
        assert "ageing" in corrected.seen_before
        for step, before in corrected.seen_before.items():
            [now] = seen_from(con, step, corrected.late)
            if before["entered_at"] > entered_at:
                assert now == before | {"fill_mass_g": 3701.5}, step
                continue
            # The record that the correction replaced is gone: what it said is not known any more, nothing else moves.
            record = {each["code"] for each in plan_data_of(SITE)["cell_at"][step] if each["known_at"] in FILLING}
            assert now == before | dict.fromkeys(record), step
            assert ("fill_mass_g" in record) == (step == "formation")


@pytest.mark.long
def test_a_full_rebuild_gives_the_same_rows(home: Home) -> None:
    before = hashes(home)
    for layer, domains in LAYER_DOMAINS.items():
        for domain in domains:
            assert curate(home, SITE, layer=layer, domain=domain, full=True).is_passed
    assert hashes(home) == before


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(step=st.sampled_from(PIT_VIEWS), pick=st.integers(0, 10_000))
def test_no_value_known_after_the_entry_is_visible(home: Home, step: str, pick: int) -> None:
    columns = plan_data_of(SITE)["cell_at"][step]
    entry = columns[pick % len(columns)]
    with reader(home) as con:
        leaked = con.execute(
            f"SELECT count(*) FROM marts.cell_at_{step} v JOIN marts.cell c USING (cell_id) WHERE v.is_entered "
            f'AND v."{entry["code"]}" IS NOT NULL AND NOT coalesce(c."{entry["known_at"]}" <= c.{step}_at, false)'
        ).fetchall()
    assert leaked == [(0,)]


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[int, int, int, float]]:
    """Records as (batch, event day, minutes until known, mass), in the order of delivery; some come twice."""
    record = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 10_000), st.floats(1, 5000).map(round))
    # Two records of a key that are known at the same moment have no newest.
    unique = draw(st.lists(record, min_size=1, max_size=12, unique_by=lambda each: (each[0], each[1] * 1440 + each[2])))
    return draw(st.permutations([*unique, *draw(st.lists(st.sampled_from(unique), max_size=4))]))


# A night costs seconds and its records nothing: the one example is many groups, each with keys of its own.
@settings(max_examples=1, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(deliveries(), min_size=12, max_size=12))
def test_of_late_double_and_corrected_records_the_newest_known_wins_with_both_times(
    home: Home, groups: list[list[tuple[int, int, int, float]]]
) -> None:
    begin = datetime(2026, 9, 2)  # noqa: DTZ001 - UTC as in the lake
    nights: list[list[tuple[str, float, datetime, datetime]]] = [[], []]
    for number, records in enumerate(groups):
        for place, (batch, day, minutes, mass) in enumerate(records):
            event_at = begin + timedelta(days=day)
            record = (f"P{number}_{batch}", float(mass), event_at, event_at + timedelta(minutes=minutes))
            nights[2 * place // len(records)].append(record)
    for night, rows in enumerate(nights):
        _deliver_materials(home, f"property_{night}", rows)
        assert ingest(home, SITE).rows_quarantined == 0
        assert curate(home, SITE, layer="staging", domain="process").is_passed
        so_far = [row for rows in nights[: night + 1] for row in rows]
        newest = {row[0]: row for row in sorted(so_far, key=lambda row: row[3])}
        assert _staged_materials(home) == sorted(newest.values())


def _deliver_materials(home: Home, name: str, rows: list[tuple[str, float, datetime, datetime]]) -> None:
    header = "slurry_batch_id,material_lot_id,material_code,mass_kg,event_at,known_at"
    lines = [f"{key},L1,lfp,{mass},{event_at},{known_at}" for key, mass, event_at, known_at in rows]
    file = home.drop_dir / "mes__batch_material" / f"{name}.csv"
    file.write_text("\n".join([header, *lines, ""]), encoding="utf-8")


def _staged_materials(home: Home) -> list[tuple[str, float, datetime, datetime]]:
    with reader(home) as con:
        return con.execute(
            "SELECT slurry_batch_id, mass_kg, event_at, known_at FROM staging.stg_mes__batch_material "
            "WHERE starts_with(slurry_batch_id, 'P') ORDER BY ALL"
        ).fetchall()
