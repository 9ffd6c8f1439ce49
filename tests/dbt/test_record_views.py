"""The views of batches and rolls on a small plant: one row for each record, and no value before it was known."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.lake.connection import reader
from pipelines.lake.home import Home

pytestmark = pytest.mark.slow

RECORDS = {
    "slurry_batch_in_mixing": "slurry_batch",
    "mother_roll_in_drying": "mother_roll",
    "daughter_roll_in_slitting": "daughter_roll",
}
_ROLLS = "marts.daughter_roll AS record LEFT JOIN marts.mother_roll AS mother USING (mother_roll_id)"
# The moment at the very end, 240 minutes, is told a minute later.
_LAST_MOMENT = "(SELECT slurry_batch_id, mixing_power_kw, known_at FROM marts.mixing_moment WHERE minute_no = 220)"
# By view and column: its value, when it was known, and how it hangs together with the record, asked of other tables.
SEEN = {
    ("slurry_batch_in_mixing", "lfp_bet_m2_g"): (
        "lot.lfp_bet_m2_g, lot.lims__material_result_known_at",
        "marts.slurry_batch AS record LEFT JOIN marts.material_lot AS lot ON record.lfp_lot_id = lot.material_lot_id",
    ),
    ("slurry_batch_in_mixing", "last_mixing_power_kw"): (
        "moment.mixing_power_kw, moment.known_at",
        f"marts.slurry_batch AS record LEFT JOIN {_LAST_MOMENT} AS moment USING (slurry_batch_id)",
    ),
    ("mother_roll_in_drying", "viscosity_mpa_s"): (
        "batch.viscosity_mpa_s, batch.mes__slurry_batch_known_at",
        "marts.mother_roll AS record LEFT JOIN marts.slurry_batch AS batch USING (slurry_batch_id)",
    ),
    ("daughter_roll_in_slitting", "peel_strength_n_m"): (
        "told.peel_strength_n_m, told.peel_strength_n_m_known_at",
        "marts.daughter_roll AS record LEFT JOIN marts.mother_roll_label AS told USING (mother_roll_id)",
    ),
    ("daughter_roll_in_slitting", "copper_foil_tensile_strength_mpa"): (
        "lot.copper_foil_tensile_strength_mpa, lot.lims__material_result_known_at",
        f"{_ROLLS} LEFT JOIN marts.material_lot AS lot ON mother.foil_lot_id = lot.material_lot_id",
    ),
}


def ask(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with reader(home) as con:
        return con.execute(sql).fetchall()


@pytest.mark.parametrize(("view", "record"), RECORDS.items())
def test_a_view_has_one_row_for_each_record(home: Home, view: str, record: str) -> None:
    key = f"{record}_id"
    assert ask(home, f"SELECT {key} FROM marts.{view} ORDER BY 1") == ask(
        home, f"SELECT {key} FROM marts.{record} ORDER BY 1"
    )


@pytest.mark.parametrize(("view", "column"), SEEN)
def test_a_value_is_shown_from_the_moment_it_was_known_on(home: Home, view: str, column: str) -> None:
    value, joined = SEEN[view, column]
    key = f"{RECORDS[view]}_id"
    shown = dict(ask(home, f"SELECT {key}, {column} FROM marts.{view}"))
    known = ask(home, f"SELECT record.{key}, record.ended_at, {value} FROM {joined}")
    wanted = {record: told if known_at and known_at <= at else None for record, at, told, known_at in known}
    assert shown == wanted
    assert any(told is not None for told in wanted.values())
