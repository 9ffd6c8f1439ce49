"""One monitor's rows as Arrow, and which of them show what is usual: learnt from, or held out to judge the rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.features.frame import EmptyTableError, check_keys
from models.features.select import Selection, exact_selection, select_features
from models.features.source import open_tables
from models.process_monitor.runtime import Array, groups_of
from models.process_monitor.spec import MonitorSpec
from pipelines.lake.files import file_digest, file_suffix, resolve_file
from pipelines.lake.sql import quote_identifier

_KEY, _MARK, _FAULT, _NEW = "__key_", "__mark", "__fault", "__is_new"
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Observations:
    """Rows in the order of time and keys.

    Attributes:
        table: the variables as float64, the time, and the group as text where there is one, under their own names.
        keys: key columns by name.
        selection: which columns the variables are, and why others are not.
        time: datetime64[us], or the number that rises.
        is_reference: rows of the reference period; None where it was not asked for.
        is_faulty: rows known to be faulty; None where nobody tells.
        is_new: rows to be answered; the others are there because these look back on them.
        digest: snapshot id or file hash.
    """

    table: pa.Table
    keys: dict[str, pa.ChunkedArray]
    selection: Selection
    time: Array
    is_reference: Array
    is_faulty: Array | None
    is_new: Array
    digest: str

    @property
    def has_moment(self) -> bool:
        """Whether the time is one of the clock."""
        return bool(np.issubdtype(self.time.dtype, np.datetime64))

    def cut(self, holdout_ratio: float) -> str:
        """The last moment of the reference rows that are learnt from, as text."""
        rising = np.sort(self.time[self.is_reference])
        return str(rising[max(0, int(len(rising) * (1 - holdout_ratio)) - 1)]) if len(rising) else ""

    def is_later(self, cut: str) -> Array:
        """Rows later than a cut."""
        edge = np.datetime64(cut) if self.has_moment else float(cut)
        return np.asarray(self.time > edge)


def observe(
    spec: MonitorSpec,
    ctx: ModelContext,
    *,
    columns: Sequence[str] | None = None,
    done: pa.Table | None = None,
    rows_before: int = 0,
) -> Observations:
    """Read a monitor's rows.

    Args:
        spec: the monitor.
        ctx: snapshot and files.
        columns: exactly these variables, a bundle's; None: what the YAML selects.
        done: keys that are answered already; only the others are read, and what they look back on.
        rows_before: how many rows of its group a row looks back on.

    Raises:
        EmptyTableError: there is not one row (left to answer).
        CellworksError: a table or column is missing, or keys are not unique.
    """
    with open_tables(ctx, spec.table) as tables:
        available = tables.columns_with(spec.table, spec.named_columns, spec.solution)
        selection = (
            select_features(spec, ctx, available)
            if columns is None
            else exact_selection(columns, available, spec.table)
        )
        if done is not None:
            tables.con.register("__done", done)
        new = (done is not None, rows_before)
        table = tables.arrow(_query(spec, tables.relation(spec.table), available, selection.numbers, new))
    return _assembled(spec, ctx, selection, table)


def _is_clock(kind: str) -> bool:
    return kind.startswith(("TIMESTAMP", "DATE"))


def _query(
    spec: MonitorSpec, relation: str, available: dict[str, str], numbers: list[str], new: tuple[bool, int]
) -> str:
    """SELECT over the table, ordered by time and keys; rows without a time follow nothing and are left out."""
    time = quote_identifier(spec.time)
    group = None if spec.group is None else quote_identifier(spec.group)
    parts = [f"t0.{quote_identifier(key)} AS {quote_identifier(_KEY + key)}" for key in spec.keys]
    parts += [f"CAST(t0.{quote_identifier(name)} AS DOUBLE) AS {quote_identifier(name)}" for name in numbers]
    parts.append(f"CAST(t0.{time} AS {'TIMESTAMP' if _is_clock(available[spec.time]) else 'DOUBLE'}) AS {time}")
    if group is not None:
        parts.append(f"coalesce(CAST(t0.{group} AS VARCHAR), '') AS {group}")
    if spec.reference.column:
        parts.append(f"CAST(t0.{quote_identifier(spec.reference.column)} AS VARCHAR) AS {_MARK}")
    if spec.fault:
        parts.append(f"CAST(t0.{quote_identifier(spec.fault.column)} AS VARCHAR) AS {_FAULT}")
    has_done, back = new
    pairs = " AND ".join(f"d.{quote_identifier(key)} = t0.{quote_identifier(key)}" for key in spec.keys)
    parts.append(f"{f'NOT EXISTS (SELECT 1 FROM __done AS d WHERE {pairs})' if has_done else 'true'} AS {_NEW}")
    order = ", ".join([time, *(quote_identifier(_KEY + key) for key in spec.keys)])
    by = f"PARTITION BY {group} " if group is not None else ""
    wanted = f"bool_or({_NEW}) OVER ({by}ORDER BY {time} ROWS BETWEEN CURRENT ROW AND {back} FOLLOWING)"
    rows = f"SELECT {', '.join(parts)} FROM {relation} AS t0 WHERE t0.{time} IS NOT NULL"
    return f"SELECT * FROM ({rows}) QUALIFY {wanted} ORDER BY {order}"


def _assembled(spec: MonitorSpec, ctx: ModelContext, selection: Selection, table: pa.Table) -> Observations:
    if table.num_rows == 0:
        raise EmptyTableError(
            f"the table '{spec.table}' has no rows", expected="rows to watch", found="0 rows", where=spec.solution
        )
    check_keys(table, spec)
    suffix = file_suffix(spec.table)
    own = [*selection.numbers, spec.time, *([spec.group] if spec.group else [])]
    watched = table.select(own)
    time = np.asarray(table.column(spec.time).to_numpy())
    return Observations(
        table=watched,
        keys={key: table.column(_KEY + key) for key in spec.keys},
        selection=selection,
        time=time.astype("datetime64[us]") if np.issubdtype(time.dtype, np.datetime64) else time,
        is_reference=_reference(spec, table, time),
        is_faulty=None if spec.fault is None else ~_is_among(table.column(_FAULT), spec.fault.healthy),
        is_new=np.asarray(table.column(_NEW).to_numpy(zero_copy_only=False), dtype=bool),
        digest=str(ctx.snapshot or 0) if suffix is None else file_digest(resolve_file(spec.table, ctx.files_root)),
    )


def _is_among(column: pa.ChunkedArray, values: list[str]) -> Array:
    """Rows whose text is one of the values; a row without text is not."""
    import pyarrow.compute as pc

    found = pc.fill_null(pc.is_in(column, value_set=pa.array(values, pa.string())), fill_value=False)
    return np.asarray(found.to_numpy(), dtype=bool)


def _reference(spec: MonitorSpec, table: pa.Table, time: Array) -> Array:
    """Rows of the reference period; by share or days it is each group's own, for machines start at different times."""
    rule = spec.reference
    if rule.column is not None:
        return _is_among(table.column(_MARK), rule.values)
    codes, names = groups_of(table, spec.group)
    order = np.lexsort((time, codes))
    first = np.searchsorted(codes[order], np.arange(len(names)))
    place = np.empty(len(time), dtype=np.int64)
    place[order] = np.arange(len(time))
    if rule.days is None:
        count = np.bincount(codes, minlength=len(names))
        return np.asarray(place - first[codes] < (rule.share or 0.0) * count[codes])
    begun = time[order][first][codes]
    length: Any = (
        np.timedelta64(int(rule.days * _DAY_US), "us") if np.issubdtype(time.dtype, np.datetime64) else rule.days
    )
    return np.asarray(time < begun + length)
