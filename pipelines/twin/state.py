"""What the twin keeps between days: counters, decisions, cells under way, and records that are not known yet."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home


@dataclass
class State:
    """Where the plant stands.

    Attributes:
        next_day: first production day that isn't simulated, counted from 0.
        next_cell: running number of the next cell.
        next_module: number of the next module.
        module_pool: premium cells that wait for a module.
        first_cells: first cell of each day simulated.
        decisions: all that was decided, in the form of `interventions.Taken`.
        slots: of the ageing store that have a tray, with the plant second at which it is taken out.
    """

    seed: int
    scenario: str
    scale: float
    next_day: int = 0
    next_cell: int = 0
    next_module: int = 0
    module_pool: list[str] = field(default_factory=list)
    first_cells: list[int] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    slots: dict[str, float] = field(default_factory=dict)


@dataclass
class Carried:
    """Tables that are carried from day to day.

    Attributes:
        pending: records by feed that are not known yet.
        under_way: cells whose life isn't over: cell (number), stacked_s (plant seconds), stacker (number).
    """

    pending: dict[str, pa.Table] = field(default_factory=dict)
    under_way: pa.Table | None = None


def peek(home: Home) -> State | None:
    """The plant's state; None before its first day.

    Raises:
        CellworksError: the file is damaged, or was kept by a version of the twin that knew other things.
    """
    file = home.twin_dir / "state.json"
    if not file.is_file():
        return None
    try:
        return State(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CellworksError(
            "the twin's state can't be read",
            expected="the file as the last `cellworks simulate` left it",
            found=str(error),
            mend="put it back from a copy, or begin a new plant with another CELLWORKS_HOME",
            where=str(file),
        ) from error


def load(home: Home, *, seed: int | None, scenario: str, scale: float) -> tuple[State, Carried]:
    """The plant's state and what it carries; a new plant when there is none.

    Raises:
        CellworksError: the plant was begun with another seed, scenario or scale, or by another version.
    """
    state = peek(home)
    if state is None:
        return State(seed if seed is not None else 1, scenario, scale), Carried()
    asked = (state.seed if seed is None else seed, scenario, scale)
    if asked != (state.seed, state.scenario, state.scale):
        raise CellworksError(
            "this plant was begun otherwise",
            expected=f"seed {state.seed}, scenario {state.scenario}, scale {state.scale:g}",
            found=f"seed {asked[0]}, scenario {scenario}, scale {scale:g}",
            mend="leave these options away, or set CELLWORKS_HOME to a folder of its own",
            where=str(home.twin_dir / "state.json"),
        )
    folder = _folder(home, state.next_day)
    pending = {path.stem: pq.read_table(path) for path in sorted((folder / "pending").glob("*.parquet"))}
    return state, Carried(pending, pq.read_table(folder / "under_way.parquet"))


def save(home: Home, state: State, carried: Carried) -> None:
    """Keep the state: tables in a folder of the day first, then state.json that points to it."""
    folder = _folder(home, state.next_day)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pending").mkdir(parents=True)
    for feed, table in carried.pending.items():
        if table.num_rows:
            pq.write_table(table, folder / "pending" / f"{feed}.parquet")
    pq.write_table(carried.under_way, folder / "under_way.parquet")
    file = home.twin_dir / "state.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(asdict(state)), encoding="utf-8")
    part.replace(file)
    shutil.rmtree(_folder(home, state.next_day - 1), ignore_errors=True)


def _folder(home: Home, day: int) -> Path:
    return home.twin_dir / f"day_{day:05d}"
