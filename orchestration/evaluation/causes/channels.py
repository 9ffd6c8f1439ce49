"""Faults of a channel of a formation cabinet: a pin that wears, and a current that is off.

Both are the channel's own and no cell's: contact resistance with what follows from it (the charge ends too early), and
the error of the current against the reference. A channel gives a row a day, hence a horizon of ten days. A row stands
against the median of its cabinet, which one channel of many does not move.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from orchestration.evaluation.causes.sizes import drawn
from orchestration.evaluation.faults import DRIFTS, JUMPS, Fault, Members, Moved, Plant, WatchedRows, numbers_of
from pipelines.lake.connection import reader

HORIZON_DAYS = 10
CAUSES = ("contact_resistance_mohm", "channel_current_error_pct")
_TIMES = 4  # that each size of each cause is put in
_AGAINST = "_against_cabinet"


def put_in(plant: Plant, rows: WatchedRows) -> Iterator[Moved]:
    """Each fault on a channel and a day that are drawn."""
    with reader(rows.home) as con:
        formed = con.execute(
            "SELECT cell_id, machine_id, channel_id, production_day FROM lake.staging.stg_tester__formation"
        ).to_arrow_table()
        columns = [
            name for (name,) in con.execute(
                "SELECT column_name FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = 'marts' "
                f"AND table_name = 'formation_channel_day' AND column_name LIKE '%{_AGAINST}%'"
            ).fetchall()
        ]  # fmt: skip
    code_of = {name.replace(_AGAINST, ""): name for name in columns}
    cell = numbers_of(formed.column("cell_id").to_pylist())
    channel, day = formed.column("channel_id").to_pylist(), formed.column("production_day").to_pylist()
    place = {key: row for row, key in enumerate(zip(rows.keys["channel_id"], rows.keys["production_day"], strict=True))}
    row = np.array([place.get(key, -1) for key in zip(channel, day, strict=True)])
    machines = dict(zip(channel, formed.column("machine_id").to_pylist(), strict=True))
    channels, names = np.array(channel, dtype=object), sorted(machines)
    first, last = plant.day_after(rows.since), int(plant.day_of(cell).max()) + 1 - HORIZON_DAYS
    draw = np.random.default_rng(rows.seed)
    for code in CAUSES if first <= last else ():
        for shift, ramp in drawn(JUMPS, DRIFTS, _TIMES, draw):
            only = names[draw.integers(len(names))]
            fault = Fault(code, machines[only], int(draw.integers(first, last + 1)), shift, ramp, only)
            mine = (channels == only) & (row >= 0)
            moved = plant.moved(fault, Members(cell[mine], row[mine]), list(code_of), len(rows.time), HORIZON_DAYS)
            yield Moved(fault, {code_of[name]: by for name, by in moved.items()}, [code_of[code]])
