"""Faults of channels and of suppliers: what they make of the rows that their monitors watch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestration.environment import default_site
from orchestration.evaluation.causes import channels, lots
from orchestration.evaluation.faults import Plant, Stacked, WatchedRows
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.world import World

DAYS, A_DAY = 40, 1584
START = np.datetime64("2026-09-01", "us")


@pytest.fixture(scope="module")
def plant() -> Plant:
    """Forty days of as many cells as twelve of a cabinet's channels are."""
    number = np.arange(0, DAYS * A_DAY)
    at = START + number * np.timedelta64(86_400_000_000 // A_DAY, "us")
    machines = np.array([f"stacker_{each % 4 + 1}" for each in number], dtype=object)
    return Plant(
        World(load_site(default_site()), 5, "baseline", 1.0), range(0, DAYS * A_DAY, A_DAY),
        Stacked(number, machines, at),
    )  # fmt: skip


def home_with(folder: Path, relation: str, rows: pa.Table) -> Home:
    home = Home(folder)
    bootstrap(home, load_site(default_site()))
    with writer(home, why="test rows") as con:
        con.register("given", rows)
        con.execute(f"CREATE TABLE lake.{relation} AS FROM given")
    return home


def test_a_fault_of_a_channel_moves_the_rows_of_its_cells_alone(plant: Plant, tmp_path: Path) -> None:
    cell = np.arange(0, DAYS * A_DAY, 7)  # of the cells of a cabinet's channels
    day = cell // A_DAY
    channel = [f"{each // 132 % 16 + 1:02d}-{each % 132 + 1:03d}" for each in cell]
    formed = pa.table(
        {
            "cell_id": [f"C{each:09d}" for each in cell],
            "machine_id": [f"formation_cabinet_{each // 132 % 16 + 1:02d}" for each in cell],
            "channel_id": channel,
            "production_day": [(START + np.timedelta64(int(each), "D")).astype("datetime64[D]").item() for each in day],
        }
    )
    home = home_with(tmp_path, "staging.stg_tester__formation", formed)
    keys = sorted(set(zip(channel, formed.column("production_day").to_pylist(), strict=True)), key=lambda each: each[1])
    named = {"channel_id": np.array([each for each, _ in keys], dtype=object)}
    named["production_day"] = np.array([each for _, each in keys], dtype=object)
    time = np.array([each for _, each in keys], dtype="datetime64[us]")
    mart = channel_days(named, [*zip(channel, formed.column("production_day").to_pylist(), strict=True)])
    with writer(home, why="test rows") as con:
        con.register("given", mart)
        con.execute("CREATE TABLE lake.marts.formation_channel_day AS FROM given")
    rows = WatchedRows(named, time, START + np.timedelta64(20, "D"), 3, home)
    found = list(channels.put_in(plant, rows))
    assert len(found) == len(channels.CAUSES) * 4 * 4
    for moved in found:
        by = moved.columns[moved.named_by[0]]
        touched = np.flatnonzero(by)
        assert set(named["channel_id"][touched]) <= {moved.fault.only}
        assert time[touched].min() >= START + np.timedelta64(moved.fault.day, "D")
    assert list(channels.put_in(plant, WatchedRows(named, time, START + np.timedelta64(35, "D"), 3, home))) == []
    assert figures_are_linear(channels._Shown(rows), mart, named["channel_id"])


def channel_days(named: dict[str, np.ndarray], cells: list[tuple[str, object]]) -> pa.Table:
    """The mart's rows of made-up means, with figures by its formula for spreads that grow by the day."""
    draw, many = np.random.default_rng(4), Counter(cells)
    count = np.array([many[key] for key in zip(named["channel_id"], named["production_day"], strict=True)])
    columns = {**named, "cell_count": count}
    spread = 0.5 + np.arange(len(count)) / len(count)
    for code, name in channels.FIGURES.items():
        mean = draw.normal(2.0, 1.0, len(count))
        columns[f"{name}_against_cabinet_{code.rsplit('_', 1)[1]}"] = mean
        columns[f"{name}_deviation_sigma"] = from_past(mean, count, named["channel_id"]) / spread
    return pa.table({name: pa.array(column) for name, column in columns.items()})


def from_past(mean: np.ndarray, count: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Distance of each day's mean from the mean of all cells before it, row by row."""
    out = np.full(len(mean), np.nan)
    for row in range(len(mean)):
        past = np.flatnonzero(channel[:row] == channel[row])
        if len(past):
            before = np.average(mean[past], weights=count[past])
            out[row] = (mean[row] - before) / np.sqrt(1 / count[row] + 1 / count[past].sum())
    return out


def figures_are_linear(shown: channels._Shown, mart: pa.Table, channel: np.ndarray) -> bool:
    """Whether a channel whose means rise shows the figures that the formula gives for the risen means."""
    code = "cv_time_s"
    only = np.flatnonzero(channel == channel[0])
    count, spread = mart.column("cell_count").to_numpy(), 0.5 + np.arange(len(channel)) / len(channel)
    by = np.zeros(len(channel))
    by[only[len(only) // 2 :]] = 3.0
    mean = mart.column("cv_time_against_cabinet_s").to_numpy()
    expected = (from_past((mean + by)[only], count[only], channel[only]) / spread[only])[1:]
    moved = mart.column("cv_time_deviation_sigma").to_numpy() + shown.figure_of(code, only, by)
    return bool(moved[only][1:] == pytest.approx(expected, abs=1e-9))


def test_a_lot_that_differs_moves_the_figures_of_those_after_it_the_other_way(plant: Plant, tmp_path: Path) -> None:
    code, lot = "can_flatness_mm", np.arange(30)
    draw = np.random.default_rng(2)
    value = draw.normal(0.1, 0.01, 30)
    before = np.array([value[:each].mean() if each else np.nan for each in lot])
    sigma = 0.02
    table = pa.table(
        {
            "material_lot_id": [f"can-{each:05d}" for each in lot],
            "characteristic_code": [code] * 30,
            "supplier_code": ["can_supplier_1"] * 30,
            "material_code": ["can"] * 30,
            "measured_value": value,
            "deviation_sigma": (value - before) / sigma * np.sqrt(lot / (lot + 1)),
        }
    )
    rows = WatchedRows(
        {
            "material_lot_id": np.array(table.column("material_lot_id").to_pylist(), dtype=object),
            "characteristic_code": np.array([code] * 30, dtype=object),
        },
        START + lot * np.timedelta64(1, "D"), START + np.timedelta64(10, "D"), 3,
        home_with(tmp_path, "marts.lot_characteristic", table),
    )  # fmt: skip
    series = lots._Lots(rows)
    jump = np.where(lot >= 20, 0.04, 0.0)
    moved = value + jump
    past = np.array([moved[:each].mean() if each else np.nan for each in lot])
    expected = (moved - past) / sigma * np.sqrt(lot / (lot + 1)) - table.column("deviation_sigma").to_numpy()
    assert series.figure_of(np.arange(30), jump)[1:] == pytest.approx(expected[1:], abs=1e-9)
    found = list(lots.put_in(plant, rows))
    assert len(found) == 4 * 12
    for each in found:
        by = each.columns["deviation_sigma"]
        assert not by[: np.flatnonzero(rows.time > rows.since)[0]].any()
        assert each.own is not None
        assert each.own.all()
