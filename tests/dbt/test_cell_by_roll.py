"""The cells of a cathode mother roll at ageing entry, and what they cost from there on, beside single cells."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
KWH = SITE.product.nominal_energy_kwh
pytestmark = pytest.mark.slow


def ask(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with reader(home) as con:
        return con.execute(sql).fetchall()


def test_a_number_is_the_mean_of_the_rolls_cells_at_ageing_entry(home: Home) -> None:
    name = "formation_tray_temp_c"
    shown = ask(home, f"SELECT mother_roll_id, entered_at, cell_count, {name} FROM marts.cell_by_roll_at_ageing")
    cells: dict[str, list[tuple[Any, ...]]] = {}
    for roll, *rest in ask(
        home, f"SELECT cathode_mother_roll_id, cell_id, entered_at, {name} FROM marts.cell_at_ageing"
    ):
        cells.setdefault(roll, []).append(tuple(rest))
    assert len(shown) > 5
    for roll, entered_at, count, mean in shown:
        told = [value for _, _, value in cells[roll] if value is not None]
        assert (entered_at, count) == (max(at for _, at, _ in cells[roll]), len(cells[roll]))
        assert mean == pytest.approx(sum(told) / len(told))


def test_a_roll_is_shown_when_none_of_its_cells_is_on_the_way_to_ageing(home: Home) -> None:
    under_way = ask(
        home,
        "SELECT DISTINCT cathode_mother_roll_id FROM marts.cell WHERE scrapped_step_code IS NULL "
        "AND tester__formation_known_at IS NULL AND ageing_at IS NULL",
    )
    shown = ask(home, "SELECT mother_roll_id FROM marts.cell_by_roll_at_ageing")
    aged = ask(home, "SELECT DISTINCT cathode_mother_roll_id FROM marts.cell_at_ageing")
    assert under_way
    assert set(shown) == set(aged) - set(under_way)


def test_a_rolls_cost_is_that_of_its_cells_from_ageing_on(home: Home) -> None:
    found = {
        roll: rest
        for roll, *rest in ask(
            home,
            "SELECT mother_roll_id, cell_count, cost_from_ageing_usd_per_kwh, cost_known_at "
            "FROM marts.cell_by_roll_label",
        )
    }
    cells: dict[str, list[tuple[Any, ...]]] = {}
    for roll, total, before, known_at in ask(
        home,
        "SELECT cell.cathode_mother_roll_id, cost_to_come_usd_per_kwh, formation_usd + formation_energy_usd, "
        "cost_known_at "
        "FROM marts.cell JOIN marts.cell_at_ageing USING (cell_id)",
    ):
        cells.setdefault(roll, []).append((total, before, known_at))
    assert found.keys() == cells.keys()
    answered = 0
    for roll, (count, cost, known_at) in found.items():
        told = [(total - before / KWH, at) for total, before, at in cells[roll] if at is not None]
        assert count == len(cells[roll])
        if len(told) < 0.95 * count:
            assert (cost, known_at) == (None, None)
            continue
        answered += 1
        assert cost == pytest.approx(sum(each for each, _ in told) / len(told))
        assert known_at == max(at for _, at in told)
    assert 0 < answered < len(found)
