"""Faults of channels and of suppliers: what they make of the rows that their monitors watch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm, t

from orchestration.environment import default_site
from orchestration.evaluation.causes import channels, lots, parameters
from orchestration.evaluation.faults import Members, Plant, Stacked, WatchedRows
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap
from pipelines.twin.course import SPARE
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
    shown, spread = channels._Shown(rows), 0.5 + np.arange(len(time)) / len(time)
    for moved in found:
        code, only = moved.fault.code, np.flatnonzero(named["channel_id"] == moved.fault.only)
        assert moved.named_by == [f"{channels.FIGURES[code]}_deviation_sigma"]
        by = moved.columns[moved.named_by[0]]
        touched = np.flatnonzero(by)
        assert set(named["channel_id"][touched]) <= {moved.fault.only}
        assert time[touched].min() >= START + np.timedelta64(moved.fault.day, "D")
        assert 20 <= moved.fault.day <= DAYS - channels.HORIZON_DAYS
        # The figure moves by what the formula gives for means that move as the fault moves the channel's cells.
        place = {day: row for row, day in enumerate(named["production_day"][only])}
        mine = np.flatnonzero(np.array(channel) == moved.fault.only)
        row = np.array([place[each] for each in np.array(formed.column("production_day").to_pylist())[mine]])
        means = plant.moved(moved.fault, Members(cell[mine], row), [code], len(only), channels.HORIZON_DAYS)[code]
        count = mart.column("cell_count").to_numpy()[only]
        expected = from_past(means, count, np.zeros(len(only))) / spread[only]
        assert by[only][1:] == pytest.approx(expected[1:], abs=1e-9)
        assert means.any()
    assert {np.sign(each.fault.shift + each.fault.ramp) for each in found} == {-1.0, 1.0}
    assert list(channels.put_in(plant, WatchedRows(named, time, START + np.timedelta64(35, "D"), 3, home))) == []
    assert figures_are_linear(shown, mart, named["channel_id"])


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
    codes, lot = ("can_flatness_mm", "can_wall_thickness_mm"), np.arange(30)
    draw, sigma = np.random.default_rng(2), 0.02
    value, own = draw.normal(0.1, 0.01, 30), np.arange(0, 30, 2)

    def away(values: np.ndarray) -> np.ndarray:
        """Distance of each lot from the mean of its supplier's before it, who take turns."""
        out = np.full(30, np.nan)
        for each in range(2, 30):
            count = each // 2
            out[each] = (values[each] - values[each % 2 : each : 2].mean()) / sigma * np.sqrt(count / (count + 1))
        return out

    # Two characteristics of each lot, and one that stands in for a lot that is held.
    number = np.concatenate([lot, lot, [SPARE + 3]])
    code = np.repeat([codes[0], codes[1], codes[0]], [30, 30, 1])
    supplier = np.array([f"can_supplier_{each % 2 + 1}" for each in lot] * 2 + ["can_supplier_1"])
    table = pa.table(
        {
            "material_lot_id": [f"can-{each:05d}" for each in number],
            "characteristic_code": code,
            "supplier_code": supplier,
            "material_code": ["can"] * len(number),
            "measured_value": np.concatenate([value, value, [0.1]]),
            "deviation_sigma": np.concatenate([away(value), away(value), [0.0]]),
        }
    )
    named = {name: np.array(table.column(name).to_pylist(), dtype=object) for name in table.column_names[:2]}
    time = START + np.concatenate([lot, lot, [3]]) * np.timedelta64(1, "D")
    since = START + np.timedelta64(10, "D")
    rows = WatchedRows(named, time, since, 3, home_with(tmp_path, "marts.lot_characteristic", table))
    series = lots._Lots(rows)
    assert series.series(codes[0], "can_supplier_1").tolist() == own.tolist()
    jump = np.where(lot >= 20, 0.04, 0.0)
    expected = away(value + jump) - away(value)
    assert series.figure_of(own, jump[own])[1:] == pytest.approx(expected[own][1:], abs=1e-9)
    found = list(lots.put_in(plant, rows))
    assert len(found) == 4 * 12
    assert {np.sign(each.fault.shift + each.fault.ramp) for each in found} == {-1.0, 1.0}
    for each in found:
        by = each.columns["deviation_sigma"]
        assert not by[: np.flatnonzero(time > since)[0]].any()
        assert each.own is not None
        assert set(code[each.own]) == {each.fault.code}
        assert set(supplier[np.flatnonzero(by)]) == {each.fault.only}
        first = np.flatnonzero(by * each.own)
        assert since < time[first].min() <= time.max() - np.timedelta64(lots.HORIZON_DAYS, "D")
        if each.fault.ramp == 0:  # the past follows a jump
            assert abs(by[first[-1]]) < 0.8 * abs(by[first[0]])


def q_of(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Quesenberry's Q for an unknown mean and spread, by its definition, of means of so many records."""
    out = np.full(len(values), np.nan)
    for row in range(parameters.LEAST_SHIFTS, len(values)):
        past, weight = values[:row], counts[:row]
        mean = np.average(past, weights=weight)
        spread = np.sqrt((weight * (past - mean) ** 2).sum() / (row - 1))
        away = (values[row] - mean) / (spread * np.sqrt(1 / counts[row] + 1 / weight.sum()))
        out[row] = norm.ppf(t.cdf(away, row - 1))
    return out


def test_the_figure_of_a_parameter_is_quesenberrys() -> None:
    draw = np.random.default_rng(6)
    values, counts = draw.normal(850.0, 3.0, 40), draw.integers(1, 130, 40)
    values[30:] += 6.0
    found = parameters.figures(values, counts)
    assert np.isnan(found[: parameters.LEAST_SHIFTS]).all()
    # Wallace's approximation errs most on the fewest days.
    assert found[4:] == pytest.approx(q_of(values, counts)[4:], abs=0.03)


def test_a_shift_of_few_records_is_as_seldom_far_out_as_one_of_many() -> None:
    draw = np.random.default_rng(8)
    counts = np.where(np.arange(4000) % 10 == 0, 3, 130)
    found = parameters.figures(draw.normal(0.0, 1.0, 4000) / np.sqrt(counts), counts)[50:]
    is_small = counts[50:] == 3
    assert found[is_small].std() == pytest.approx(1.0, abs=0.1)
    assert found[~is_small].std() == pytest.approx(1.0, abs=0.05)


def test_a_fault_of_a_parameter_moves_the_later_rows_of_its_machine(plant: Plant, tmp_path: Path) -> None:
    cell = np.arange(0, DAYS * A_DAY, 11)
    row = plant.site.plan.by_code["weld_energy_j"]
    welder = np.empty(len(cell), dtype=object)
    for machine in ("tab_welder_1", "tab_welder_2"):
        welder[np.isin(cell, plant.made_by(row.code, machine, 11))] = machine
    event = START + cell * np.timedelta64(86_400_000_000, "us") // A_DAY
    staged = {
        "cell_id": [f"C{each:09d}" for each in cell],
        "event_at": event,
        "electrode_code": ["cathode"] * len(cell),
    }
    home = home_with(
        tmp_path, "staging.stg_mes__assembly", pa.table({**staged, "tab_welder_id": welder, "seam_welder_id": welder})
    )
    draw = np.random.default_rng(2)
    shifts = np.arange(START, START + np.timedelta64(DAYS, "D"), np.timedelta64(8, "h"))
    keys = {
        "machine_id": np.repeat(np.array(["tab_welder_1", "tab_welder_2"], dtype=object), len(shifts)),
        "characteristic_code": np.full(2 * len(shifts), row.code, dtype=object),
        "shift_from_at": np.tile(shifts, 2),
    }
    mean = draw.normal(850.0, 2.0, 2 * len(shifts))
    with writer(home, why="test rows") as con:
        con.register(
            "given",
            pa.table(
                {**keys, "parameter_mean": mean, "nominal": [850.0] * len(mean), "parameter_count": [48] * len(mean)}
            ),
        )
        con.execute("CREATE TABLE lake.marts.golden_parameter_shift AS FROM given")
    time = keys["shift_from_at"]
    groups = [each for each in parameters.parameter_groups(plant.site) if each["machine"] == "tab_welder_id"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "parameter_groups", lambda _: groups)
        found = list(parameters.put_in(plant, WatchedRows(keys, time, START + np.timedelta64(20, "D"), 3, home)))
        assert list(parameters.put_in(plant, WatchedRows(keys, time, START + np.timedelta64(35, "D"), 3, home))) == []
    assert len(found) == 4 * 12
    for moved in found:
        touched = np.flatnonzero(moved.columns["deviation_sigma"])
        assert set(keys["machine_id"][touched]) == {moved.fault.machine_id}
        assert time[touched].min() == START + np.timedelta64(moved.fault.day, "D")
        assert np.sign(moved.columns["deviation_sigma"][touched[0]]) == np.sign(moved.fault.shift or moved.fault.ramp)
        assert moved.own is not None
        assert moved.own[touched].all()
