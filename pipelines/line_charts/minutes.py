"""What a line's control points showed, minute by minute, as one table of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from pipelines.charts.constants import Array
from pipelines.control_plan.errors import CellworksError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MINUTE = timedelta(minutes=1)
_SERIES = "staging.stg_historian__telemetry"
_ROWS_AT_ONCE = 1 << 20
RUNNING = "Execute"
"""PackML's state in which a machine makes something."""


@dataclass(frozen=True)
class Point:
    """One control point.

    Attributes:
        no: as telemetry names it.
        id: machine, characteristic and position.
        machine_id: of the machine.
        characteristic_code: what is measured.
        step_order: place of its step in the process chain; the facility comes last.
    """

    no: int
    id: str
    machine_id: str
    characteristic_code: str
    step_order: int


@dataclass(frozen=True)
class Minutes:
    """Values of all points.

    Attributes:
        points: those of one machine lie together.
        begins_at: time of the first minute, UTC.
        values: (points, minutes), float32, NaN where nothing was recorded or the machine did not run.
    """

    points: list[Point]
    begins_at: datetime
    values: Array

    def machines(self) -> list[tuple[str, slice]]:
        """Each machine and where its points lie."""
        names = [point.machine_id for point in self.points]
        edges = [place for place in range(len(names)) if not place or names[place] != names[place - 1]]
        return [(names[a], slice(a, b)) for a, b in zip(edges, [*edges[1:], len(names)], strict=True)]


def read_minutes(con: DuckDBPyConnection, step_orders: Mapping[str, int], days: int, settle_min: int) -> Minutes:
    """Read the newest days of the historian.

    Args:
        con: at the snapshot to read.
        step_orders: place of each step in the process chain.
        days: production days, at least 1.
        settle_min: minutes after a machine begins to run that say nothing of how it runs.

    Raises:
        CellworksError: there is no telemetry.
    """
    [newest] = con.execute(f"SELECT max(production_day) FROM {_SERIES}").fetchall()
    if newest[0] is None:
        raise CellworksError(
            "there is nothing to chart",
            expected=f"minute values of control points in {_SERIES}",
            found="none",
            mend="let the historian deliver, then run `cellworks nightly`",
        )
    since = newest[0] - timedelta(days=days - 1)
    [(first, last, numbers)] = con.execute(
        f"SELECT min(event_at), max(event_at), list(DISTINCT control_point_no) FROM {_SERIES} "
        "WHERE production_day >= ?",
        [since],
    ).fetchall()
    points = _points(con, numbers, step_orders)
    begins_at = first.replace(second=0, microsecond=0)
    minutes = (last - begins_at) // MINUTE + 1
    values = np.full(len(points) * minutes, np.nan, dtype=np.float32)
    for places, shown in _cells(con, since, points, begins_at, minutes):
        values[places] = shown
    made = Minutes(points, begins_at, values.reshape(len(points), minutes))
    _leave_out_standstill(con, made, settle_min)
    return made


def _points(con: DuckDBPyConnection, numbers: list[int], step_orders: Mapping[str, int]) -> list[Point]:
    rows = con.execute(
        "SELECT control_point_no, control_point_id, machine_id, characteristic_code, step_code "
        "FROM marts.control_point WHERE list_contains(?, control_point_no) ORDER BY machine_id, control_point_id",
        [numbers],
    ).fetchall()
    return [Point(no, name, machine, code, step_orders[step]) for no, name, machine, code, step in rows]


def _cells(
    con: DuckDBPyConnection, since: date, points: list[Point], begins_at: datetime, minutes: int
) -> Iterator[tuple[Array, Array]]:
    """Places in the flat table, and values, of all that was recorded."""
    import pyarrow as pa

    numbers = pa.array([point.no for point in points], pa.int32())
    origins = pa.array(np.arange(len(points), dtype=np.int64) * minutes)
    con.register("_charted", pa.table({"control_point_no": numbers, "origin": origins}))
    reader = con.execute(
        "SELECT origin + (epoch_ms(event_at) - epoch_ms(?::TIMESTAMP)) // 60000 AS place, value::FLOAT AS value "
        f"FROM {_SERIES} JOIN _charted USING (control_point_no) WHERE production_day >= ? AND value IS NOT NULL",
        [begins_at, since],
    ).to_arrow_reader(_ROWS_AT_ONCE)
    for batch in reader:
        yield batch.column(0).to_numpy(), batch.column(1).to_numpy()
    con.unregister("_charted")


def _leave_out_standstill(con: DuckDBPyConnection, made: Minutes, settle_min: int) -> None:
    """A machine that does not run says nothing of how it runs; one without states always runs."""
    rows = con.execute(
        "SELECT machine_id, date_diff('minute', ?::TIMESTAMP, begun_at), "
        "date_diff('minute', ?::TIMESTAMP, ended_at) + 1 + ? FROM marts.machine_state WHERE state_code <> ?",
        [made.begins_at, made.begins_at, settle_min, RUNNING],
    ).fetchnumpy()
    machine, begins, ends = rows.values()
    minutes = made.values.shape[1]
    for name, place in made.machines():
        own = machine == name
        steps = np.zeros(minutes + 1, dtype=np.int32)
        np.add.at(steps, np.clip(begins[own], 0, minutes), 1)
        np.add.at(steps, np.clip(ends[own], 0, minutes), -1)
        made.values[place, np.cumsum(steps[:-1]) > 0] = np.nan
