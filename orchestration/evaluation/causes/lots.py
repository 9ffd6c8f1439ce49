"""Faults of a supplier: from a lot on, a characteristic of its material is another one, or moves away by the day.

A lot is one piece and comes every other day, so that faults are as large as the bad lots of the twin's own scenarios
(one of three standard deviations, and half of it), and are given two weeks. A row tells how far a lot lies from the
mean of those before it, so that a fault moves all later rows of its series.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from orchestration.evaluation.causes.sizes import drawn
from orchestration.evaluation.faults import DRIFTS, Array, Fault, Members, Moved, Plant, WatchedRows
from pipelines.lake.connection import reader
from pipelines.twin.course import SPARE

HORIZON_DAYS = 14
JUMPS = (1.5, 3.0)
_TIMES = 12  # series that each size is put into
_ROWS, _FIGURE = "marts.lot_characteristic", "deviation_sigma"


def put_in(plant: Plant, rows: WatchedRows) -> Iterator[Moved]:
    """Each fault in a series and from a lot that are drawn."""
    lots = _Lots(rows)
    horizon = np.timedelta64(HORIZON_DAYS, "D")
    begins = np.flatnonzero((rows.time > rows.since) & (rows.time <= rows.time.max() - horizon) & lots.is_told)
    draw = np.random.default_rng(rows.seed)
    for shift, ramp in drawn(JUMPS, DRIFTS, _TIMES, draw) if len(begins) else ():
        begin = int(draw.choice(begins))
        code, supplier, material = (lots.text(name, begin) for name in ("code", "supplier", "material"))
        day = int(plant.day_of(plant.first_cell(material, lots.number[begin : begin + 1]))[0])
        fault = Fault(code, "", day, shift, ramp, supplier)
        by = np.zeros(len(rows.time))
        for each in plant.characteristics(material):
            mine = lots.series(each, supplier)
            members = Members(plant.first_cell(material, lots.number[mine]), mine)
            value = plant.moved(fault, members, [each], len(rows.time), plant.days - day).get(each)
            if value is not None:
                by[mine] = lots.figure_of(mine, value[mine])
        yield Moved(fault, {_FIGURE: by}, [_FIGURE], lots.columns["code"] == code)


class _Lots:
    """What else the rows tell: lot, supplier, material, characteristic, what was measured; in the order of the rows."""

    def __init__(self, rows: WatchedRows) -> None:
        keys = pa.table({name: pa.array(column) for name, column in rows.keys.items()})
        keys = keys.append_column("__place", pa.array(np.arange(keys.num_rows)))
        with reader(rows.home) as con:
            con.register("keys", keys)
            found = con.execute(
                f"SELECT material_lot_id, characteristic_code, supplier_code, material_code, measured_value, {_FIGURE} "
                f"FROM keys LEFT JOIN lake.{_ROWS} USING (material_lot_id, characteristic_code) ORDER BY __place"
            ).to_arrow_table()
        named = {"code": "characteristic_code", "supplier": "supplier_code", "material": "material_code"}
        self.columns = {name: np.array(found.column(of).to_pylist(), dtype=object) for name, of in named.items()}
        self.number = np.array([int(name.rsplit("-", 1)[1]) for name in found.column("material_lot_id").to_pylist()])
        self.value, self.figure = (
            np.asarray(found.column(name).to_numpy(), dtype=float) for name in ("measured_value", _FIGURE)
        )
        self.time = rows.time

    @property
    def is_told(self) -> Array:
        """Rows with a figure: all but the first of each series."""
        return np.asarray(np.isfinite(self.figure))

    def series(self, code: str, supplier: str) -> Array:
        """Rows of a supplier's characteristic; lots that stand in for a held one come from elsewhere."""
        is_own = (self.columns["code"] == code) & (self.columns["supplier"] == supplier)
        return np.flatnonzero(is_own & (self.number < SPARE))

    def text(self, name: str, row: int) -> str:
        """What one row says in words."""
        return str(self.columns[name][row])

    def figure_of(self, series: Array, by: Array) -> npt.NDArray[np.float64]:
        """By how much the figure of a series moves when its values do: it is linear in them.

        Args:
            series: its rows.
            by: by how much each value moves.
        """
        order = np.lexsort((self.number[series], self.time[series]))
        told = np.isfinite(self.value[series][order])
        count = np.cumsum(told) - told
        weight = np.sqrt(count / (count + 1))

        def away(values: Array) -> Array:
            known = np.where(told, values[order], 0.0)
            return np.asarray((known - (np.cumsum(known) - known) / np.maximum(count, 1)) * weight)

        own, figure = away(self.value[series]), self.figure[series][order]
        has_figure = np.isfinite(figure) & (np.abs(figure) > 0)
        sigma = float(np.median(own[has_figure] / figure[has_figure])) if has_figure.any() else np.inf
        out = np.zeros(len(series))
        out[order] = np.where(told, away(by) / sigma, 0.0)
        return out
