"""Series on a regular grid of steps: values, when each became known, and what is told ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.features.frame import check_keys
from models.features.select import exact_selection, select_features
from models.features.source import Tables, open_tables
from models.forecast.runtime import Array
from models.forecast.spec import ForecastSpec
from models.solution import NotYetError
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.files import file_digest, file_suffix, resolve_file
from pipelines.lake.sql import quote_identifier

_KEY, _TIME, _KNOWN = "__key_", "__time_s", "__known_s"


@dataclass(frozen=True)
class Panel:
    """Series by step; what is not there is NaN, known at infinity.

    Attributes:
        names: (series,) text of each series.
        keys: key columns by name, one value for each series, without the step.
        first_s: label of step 0, in seconds since 1970.
        step_s: seconds from a step to the next one.
        begin_s: (steps + horizon,) UTC second at which each step begins, future ones among them.
        is_day: whether steps are production days.
        numbers: (series, steps) by column: the target and whatever else is read.
        further: columns of them, beside the target, that are learnt from.
        known_s: (series, steps) second at which the row became known.
        ahead: (series, steps + horizon) by column that is told ahead.
        ahead_known_s: likewise, when it was told.
        digest: snapshot id or file hash.
        rows: rows read.
    """

    names: Array
    keys: dict[str, pa.Array]
    first_s: float
    step_s: int
    begin_s: Array
    is_day: bool
    numbers: dict[str, Array]
    further: tuple[str, ...]
    known_s: Array
    ahead: dict[str, Array] = field(default_factory=dict)
    ahead_known_s: Array = field(default_factory=lambda: np.zeros((0, 0)))
    digest: str = ""
    rows: int = 0

    @property
    def steps(self) -> int:
        """Steps from the first row to the last one."""
        return int(self.known_s.shape[1])

    def label_s(self, step: Array) -> Array:
        """Labels of steps as the table has them, in seconds since 1970."""
        return np.asarray(self.first_s + step * self.step_s)

    def step_at(self, moment: datetime | None, site: Site | None) -> int:
        """The step that begins last before a moment or at it; the one after the last row without a moment."""
        if moment is None:
            return self.steps
        return min(_step_of(moment, site if self.is_day else None, self.first_s, self.step_s), self.steps)


def _step_of(moment: datetime, site: Site | None, first_s: float, step_s: int) -> int:
    """Number of the step in which a moment lies, counted in the production days of a site where one is given."""
    shifted = moment + site.day_shift(moment) if site is not None else moment
    return int((_seconds(shifted) - first_s) // step_s)


def _seconds(moment: datetime) -> float:
    """Seconds since 1970 of a UTC time."""
    return float((np.datetime64(moment, "us") - np.datetime64(0, "us")) / np.timedelta64(1, "s"))


def read_panel(spec: ForecastSpec, ctx: ModelContext, *, columns: Sequence[str] | None = None) -> Panel:
    """Read a solution's series; a step that is not over yet has no outcome, whatever its row says.

    Args:
        spec: the solution.
        ctx: snapshot, moment and threads; rows that became known after its moment are not there.
        columns: exactly these further numbers, a learnt contract's; None: what the YAML selects.

    Raises:
        NotYetError: there is not one row.
        CellworksError: a column is missing or is no number, the keys do not name one row, or steps are not regular.
    """
    with open_tables(ctx, spec.table) as tables:
        available = tables.columns_with(spec.table, spec.named_columns, spec.solution)
        is_day = _kind_of_time(spec, available)
        further = _further(spec, ctx, available, columns)
        stock = [spec.action.cover.stock] if spec.action.cover else []
        numbers = list(dict.fromkeys([spec.target, *further, *spec.given, *stock]))
        exact_selection(numbers, available, spec.table)
        table = _rows(spec, ctx, tables, numbers)
        ahead = _ahead_rows(spec, ctx, tables)
    check_keys(table, spec)
    table = _over(spec, ctx, table, is_day)
    if table.num_rows == 0:
        raise NotYetError(
            f"the table '{spec.table}' has no rows yet",
            expected="rows of steps that are over",
            found="0",
            where=spec.solution,
        )
    is_file = file_suffix(spec.table) is not None
    digest = file_digest(resolve_file(spec.table, ctx.files_root)) if is_file else str(ctx.snapshot or 0)
    return _panel(spec, ctx, (table, ahead), (numbers, further), is_day, digest)


def _kind_of_time(spec: ForecastSpec, available: dict[str, str]) -> bool:
    kind = available[spec.time]
    if not kind.startswith(("TIMESTAMP", "DATE")):
        raise CellworksError(
            f"'{spec.time}' is no step of time",
            expected="a timestamp, or a production day",
            found=kind,
            mend="name the column of the step in `time`",
            where=spec.solution,
        )
    return kind == "DATE"


def _further(
    spec: ForecastSpec, ctx: ModelContext, available: dict[str, str], columns: Sequence[str] | None
) -> list[str]:
    if columns is not None:
        return list(columns)
    return select_features(spec, ctx, available).numbers if spec.features.select else []


def _rows(spec: ForecastSpec, ctx: ModelContext, tables: Tables, numbers: Sequence[str]) -> pa.Table:
    label = f"epoch(CAST({quote_identifier(spec.time)} AS TIMESTAMP))"
    known = (
        f"epoch(CAST({quote_identifier(spec.known_at)} AS TIMESTAMP))" if spec.known_at else f"{label} + {spec.step_s}"
    )
    parts = [f"{quote_identifier(key)} AS {quote_identifier(_KEY + key)}" for key in spec.keys]
    parts += [f"{label} AS {_TIME}", f"{known} AS {_KNOWN}"]
    parts += [f"CAST({quote_identifier(name)} AS DOUBLE) AS {quote_identifier(name)}" for name in numbers]
    sql = (
        f"SELECT * FROM (SELECT {', '.join(parts)} FROM {tables.relation(spec.table)}) WHERE {_TIME} IS NOT NULL "
        f"AND (CAST(? AS TIMESTAMP) IS NULL OR {_KNOWN} <= epoch(CAST(? AS TIMESTAMP))) ORDER BY ALL"
    )
    return tables.arrow(sql, [ctx.as_of, ctx.as_of])


def _over(spec: ForecastSpec, ctx: ModelContext, table: pa.Table, is_day: bool) -> pa.Table:
    """Rows of steps that are over, known when they were over at the soonest."""
    label_s = _column(table, _TIME)
    over_s = label_s + spec.step_s - (_shift_s(label_s, ctx.site) if is_day else 0.0)
    known_s = np.maximum(_column(table, _KNOWN), over_s)
    table = table.set_column(table.column_names.index(_KNOWN), _KNOWN, pa.array(known_s))
    if ctx.as_of is None:
        return table
    return table.filter(pa.array(known_s <= _seconds(ctx.as_of)))


def _ahead_rows(spec: ForecastSpec, ctx: ModelContext, tables: Tables) -> pa.Table | None:
    told = spec.ahead
    if told is None:
        return None
    tables.columns_with(told.table, [told.time, told.known_at, *told.by, *told.columns], f"{spec.solution}: ahead")
    parts = [f"CAST({quote_identifier(name)} AS VARCHAR) AS {quote_identifier(_KEY + name)}" for name in told.by]
    parts += [
        f"epoch(CAST({quote_identifier(told.time)} AS TIMESTAMP)) AS {_TIME}",
        f"epoch(CAST({quote_identifier(told.known_at)} AS TIMESTAMP)) AS {_KNOWN}",
    ]
    parts += [f"CAST({quote_identifier(name)} AS DOUBLE) AS {quote_identifier(name)}" for name in told.columns]
    sql = (
        f"SELECT * FROM (SELECT {', '.join(parts)} FROM {tables.relation(told.table)}) WHERE {_TIME} IS NOT NULL "
        f"AND (CAST(? AS TIMESTAMP) IS NULL OR {_KNOWN} <= epoch(CAST(? AS TIMESTAMP))) ORDER BY ALL"
    )
    return tables.arrow(sql, [ctx.as_of, ctx.as_of])


def _panel(
    spec: ForecastSpec,
    ctx: ModelContext,
    read: tuple[pa.Table, pa.Table | None],
    columns: tuple[Sequence[str], Sequence[str]],
    is_day: bool,
    digest: str,
) -> Panel:
    (table, ahead), (numbers, further) = read, columns
    label_s = np.asarray(table.column(_TIME).to_numpy(), dtype=np.float64)
    first_s = float(label_s.min())
    place = _places(spec, label_s, first_s)
    names, firsts, series = np.unique(_texts(table, spec.series), return_index=True, return_inverse=True)
    steps = int(place.max()) + 1
    if ctx.as_of is not None:
        # Up to now there may be steps of which nothing is known yet; of a table that stands still, a season of them.
        now = _step_of(ctx.as_of, ctx.site if is_day else None, first_s, spec.step_s)
        steps = max(steps, min(now, steps + spec.season))
    shape = (len(names), steps)

    def grid(values: Array, empty: float) -> Array:
        out = np.full(shape, empty)
        out[series, place] = values
        return out

    label = first_s + np.arange(steps + spec.horizon) * spec.step_s
    told, told_s = _told_ahead(spec, ahead, (first_s, steps), _texts_of(spec, table, firsts))
    return Panel(
        names=names,
        keys={key: table.column(_KEY + key).take(pa.array(firsts)).combine_chunks() for key in spec.series},
        first_s=first_s,
        step_s=spec.step_s,
        begin_s=label - _shift_s(label, ctx.site) if is_day else label,
        is_day=is_day,
        numbers={name: grid(_column(table, name), np.nan) for name in numbers},
        further=tuple(further),
        known_s=grid(_column(table, _KNOWN), np.inf),
        ahead=told,
        ahead_known_s=told_s,
        digest=digest,
        rows=table.num_rows,
    )


def _column(table: pa.Table, name: str) -> Array:
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _texts(table: pa.Table, keys: Sequence[str]) -> Array:
    """Text of each row's series; empty where the table is one series."""
    parts = [np.asarray(table.column(_KEY + key).cast(pa.string()).to_pylist(), dtype=object) for key in keys]
    whole = np.full(table.num_rows, "", dtype=object)
    for number, part in enumerate(parts):
        whole = part if number == 0 else whole + " " + part
    return np.asarray(whole, dtype=str)


def _texts_of(spec: ForecastSpec, table: pa.Table, firsts: Array) -> Array:
    """Text by which the table of what is told ahead names each series."""
    return _texts(table.take(pa.array(firsts)), spec.ahead.by if spec.ahead else [])


def _places(spec: ForecastSpec, label_s: Array, first_s: float) -> Array:
    """Number of each row's step.

    Raises:
        CellworksError: a row lies between two steps.
    """
    exact = (label_s - first_s) / spec.step_s
    place = np.round(exact).astype(int)
    off = np.abs(exact - place) > 1e-6
    if off.any():
        raise CellworksError(
            f"the steps of '{spec.table}' are not regular",
            expected=f"rows of '{spec.time}' every {spec.step_h:g} h",
            found=f"{int(off.sum())} of {len(off)} rows lie between two steps",
            mend="correct step_h, or bring the table to a regular step",
            where=spec.solution,
        )
    return np.asarray(place)


def _shift_s(label_s: Array, site: Site | None) -> Array:
    """Seconds from the beginning of a production day, in UTC, to midnight of its date."""
    if site is None:
        return np.zeros(len(label_s))
    moments = label_s.astype("datetime64[s]").tolist()
    return np.asarray([site.day_shift(moment).total_seconds() for moment in moments])


def _told_ahead(
    spec: ForecastSpec, ahead: pa.Table | None, grid: tuple[float, int], names: Array
) -> tuple[dict[str, Array], Array]:
    """Columns that are told ahead on the grid, the future among it; see `Panel`."""
    told = spec.ahead
    first_s, steps = grid
    shape = (len(names), steps + spec.horizon)
    known_s = np.full(shape, np.inf)
    if told is None or ahead is None:
        return {}, known_s
    out = {name: np.full(shape, np.nan) for name in told.columns}
    place = np.floor((_column(ahead, _TIME) - first_s) / spec.step_s).astype(int)
    mine = _texts(ahead, told.by)
    if len(np.unique(np.char.add(mine, np.char.add(" ", place.astype(str))))) < len(place):
        raise CellworksError(
            f"a step has several rows in '{told.table}'",
            expected="one row for each step" + (f" and {', '.join(told.by)}" if told.by else ""),
            found=f"{len(place)} rows of fewer steps",
            mend="name in ahead.by what tells the rows apart, or make the table one of single steps",
            where=f"{spec.solution}: ahead",
        )
    inside = (place >= 0) & (place < shape[1])
    for number, name in enumerate(names):
        rows = np.flatnonzero(inside & (mine == name))
        known_s[number, place[rows]] = _column(ahead, _KNOWN)[rows]
        for column, values in out.items():
            values[number, place[rows]] = _column(ahead, column)[rows]
    return out, known_s
