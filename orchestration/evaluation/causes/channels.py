"""Faults of a channel of a formation cabinet: a pin that wears, and a current that is off.

Both are the channel's own and no cell's: contact resistance with what follows from it (the charge ends too early), and
the error of the current against the reference. A channel gives a row a day, hence a horizon of ten days. A row stands
against the median of its cabinet, which one channel of many does not move, and then against the channel's own earlier
days, so that a fault moves all its later rows. The spread that its figure is told in is one of medians, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from orchestration.evaluation.causes.sizes import drawn
from orchestration.evaluation.faults import (
    DRIFTS,
    JUMPS,
    Array,
    Fault,
    Members,
    Moved,
    Plant,
    WatchedRows,
    numbers_of,
)
from pipelines.lake.connection import reader

HORIZON_DAYS = 10
CAUSES = ("contact_resistance_mohm", "channel_current_error_pct")
FIGURES = {
    "contact_resistance_mohm": "contact_resistance",
    "channel_current_error_pct": "channel_current_error",
    "cv_time_s": "cv_time",
    "formation_resistance_mohm": "formation_resistance",
    "charge_capacity_ah": "charge_capacity",
}
"""Characteristics of the control plan, and how the columns of each begin."""
_TIMES = 4  # that each size of each cause is put in
_ROWS = "marts.formation_channel_day"


def put_in(plant: Plant, rows: WatchedRows) -> Iterator[Moved]:
    """Each fault on a channel and a day that are drawn."""
    with reader(rows.home) as con:
        formed = con.execute(
            "SELECT cell_id, machine_id, channel_id, production_day FROM lake.staging.stg_tester__formation"
        ).to_arrow_table()
    code_of = {code: f"{name}_deviation_sigma" for code, name in FIGURES.items()}
    cell = numbers_of(formed.column("cell_id").to_pylist())
    channel, day = formed.column("channel_id").to_pylist(), formed.column("production_day").to_pylist()
    place = {key: row for row, key in enumerate(zip(rows.keys["channel_id"], rows.keys["production_day"], strict=True))}
    row = np.array([place.get(key, -1) for key in zip(channel, day, strict=True)])
    machines = dict(zip(channel, formed.column("machine_id").to_pylist(), strict=True))
    channels, names = np.array(channel, dtype=object), sorted(machines)
    shown = _Shown(rows)
    first, last = plant.day_after(rows.since), int(plant.day_of(cell).max()) + 1 - HORIZON_DAYS
    draw = np.random.default_rng(rows.seed)
    for code in CAUSES if first <= last else ():
        for shift, ramp in drawn(JUMPS, DRIFTS, _TIMES, draw):
            only = names[draw.integers(len(names))]
            fault = Fault(code, machines[only], int(draw.integers(first, last + 1)), shift, ramp, only)
            mine = (channels == only) & (row >= 0)
            moved = plant.moved(fault, Members(cell[mine], row[mine]), list(code_of), len(rows.time), HORIZON_DAYS)
            series = np.flatnonzero(rows.keys["channel_id"] == only)
            columns = {code_of[name]: shown.figure_of(name, series, by) for name, by in moved.items()}
            yield Moved(fault, columns, [code_of[code]])


class _Shown:
    """What the rows show: cells of each, the mean against the cabinet and the figure; in the order of the rows."""

    def __init__(self, rows: WatchedRows) -> None:
        keys = pa.table({name: pa.array(column) for name, column in rows.keys.items()})
        keys = keys.append_column("__place", pa.array(np.arange(keys.num_rows)))
        with reader(rows.home) as con:
            con.register("keys", keys)
            self._rows = con.execute(
                f"SELECT found.* FROM keys LEFT JOIN lake.{_ROWS} AS found USING (channel_id, production_day) "
                "ORDER BY __place"
            ).to_arrow_table()
        self._cells, self._time = self._numbers("cell_count"), rows.time

    def _numbers(self, column: str) -> Array:
        return np.asarray(self._rows.column(column).to_numpy(), dtype=float)

    def figure_of(self, code: str, series: Array, by: Array) -> Array:
        """By how much a channel's figure moves, (rows,), when its means against the cabinet do: it is linear in them.

        Args:
            code: characteristic.
            series: rows of the channel.
            by: by how much each row's mean moves, (rows,).
        """
        order = series[np.argsort(self._time[series], kind="stable")]
        cells, name = self._cells[order], FIGURES[code]
        before = np.cumsum(cells) - cells

        def away(means: Array) -> Array:
            past = (np.cumsum(means * cells) - means * cells) / np.maximum(before, 1)
            return np.asarray((means - past) / np.sqrt(1 / cells + 1 / np.maximum(before, 1)))

        figure = self._numbers(f"{name}_deviation_sigma")[order]
        own = away(self._numbers(f"{name}_against_cabinet_{code.rsplit('_', 1)[1]}")[order])
        # A row's spread is what its distance stands for in its figure; none where it has no figure.
        told = np.isfinite(figure) & (figure != 0) & (own != 0)
        out = np.zeros(len(by))
        out[order[told]] = away(by[order])[told] * (figure[told] / own[told])
        return out
