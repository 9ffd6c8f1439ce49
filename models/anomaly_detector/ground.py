"""Rows of a detector: read, checked, in the order of time, and cut into the reference and the later part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from models.anomaly_detector.runtime import ENTITY, TIME, Array, texts
from models.anomaly_detector.spec import AnomalySpec
from models.context import ModelContext
from models.features.frame import check_keys
from models.features.select import exact_selection, select_features
from models.features.source import Tables, open_tables
from models.solution import NotYetError
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.files import file_digest, file_suffix, resolve_file
from pipelines.lake.sql import quote_identifier

_KEY = "__key_"
_NEW = "__is_new"
_LEAST_REFERENCE = 100


@dataclass(frozen=True)
class Event:
    """Something that really happened.

    Attributes:
        entity: text of whom it befell; None: any.
        begin_s: seconds from which an alarm tells of it.
        end_s: seconds until when.
    """

    entity: str | None
    begin_s: float
    end_s: float


@dataclass
class Rows:
    """Rows in the order of time and keys.

    Attributes:
        table: `entity`, `time_s`, the watched numbers and the keys (`__key_<name>`).
        columns: the watched numbers.
        dropped: columns left out, with reasons.
        digest: snapshot id or file hash.
        is_new: rows that are to be answered; all without a question for them.
    """

    table: pa.Table
    columns: list[str]
    dropped: dict[str, str]
    digest: str
    is_new: Array
    time_s: Array = field(init=False)
    entity: Array = field(init=False)

    def __post_init__(self) -> None:
        self.time_s = np.asarray(self.table.column(TIME).to_numpy(), dtype=np.float64)
        _, self.entity = np.unique(texts(self.table, ENTITY).astype(str), return_inverse=True)

    def part(self, rows: Array) -> Rows:
        """Some of the rows, by a mask."""
        table = self.table.filter(pa.array(rows))
        return Rows(table, self.columns, self.dropped, self.digest, self.is_new[rows])

    def keys(self, spec: AnomalySpec) -> dict[str, pa.ChunkedArray]:
        """Key columns by name."""
        return {key: self.table.column(_KEY + key) for key in spec.keys}

    @property
    def event_at(self) -> Array:
        """Moments as datetime64[us]."""
        return np.round(self.time_s * 1e6).astype("datetime64[us]")


def cut_of(spec: AnomalySpec, rows: Rows) -> float:
    """Second at which the later part begins.

    Raises:
        NotYetError: there are too few rows to learn from and to judge on.
    """
    first, last = float(rows.time_s.min()), float(rows.time_s.max())
    cut = last - spec.holdout_ratio * (last - first)
    before = int(np.count_nonzero(rows.time_s < cut))
    if before < _LEAST_REFERENCE:
        raise NotYetError(
            "there is not yet enough to learn what is usual",
            expected=f"at least {_LEAST_REFERENCE} rows before the later part",
            found=f"{before} rows",
            mend="wait for more rows, or lower holdout_ratio",
            where=spec.solution,
        )
    return cut


def read_rows(
    spec: AnomalySpec, ctx: ModelContext, *, columns: Sequence[str] | None = None, done: pa.Table | None = None
) -> Rows:
    """Read a detector's rows.

    Args:
        spec: the solution.
        ctx: snapshot, moment and threads; rows after its moment are not there.
        columns: exactly these numbers, a learnt contract's; None: what the YAML selects.
        done: keys of rows that need no answer.

    Raises:
        NotYetError: there is not one row.
        CellworksError: a column is missing or is no number, or the keys do not name one row.
    """
    with open_tables(ctx, spec.table) as tables:
        available = tables.columns_with(spec.table, spec.named_columns, spec.solution)
        _refuse_no_moment(spec, available)
        if columns is None:
            selection = select_features(spec, ctx, available)
            text = dict.fromkeys(selection.categories, "text is not watched")
            chosen, dropped = selection.numbers, {**selection.dropped, **text}
        else:
            chosen, dropped = exact_selection(columns, available, spec.table).numbers, {}
        if not chosen:
            raise CellworksError(
                f"no column of '{spec.table}' is a number that can be watched",
                expected="at least one number that `features` selects",
                found="; ".join(f"{name}: {why}" for name, why in list(dropped.items())[:10]),
                where=spec.solution,
            )
        table = _query(spec, ctx, tables, chosen, done)
    if table.num_rows == 0:
        raise NotYetError(
            f"the table '{spec.table}' has no rows yet", expected="rows with a moment", found="0", where=spec.solution
        )
    check_keys(table, spec)
    is_file = file_suffix(spec.table) is not None
    digest = file_digest(resolve_file(spec.table, ctx.files_root)) if is_file else str(ctx.snapshot or 0)
    is_new = np.asarray(table.column(_NEW).to_numpy(zero_copy_only=False), dtype=bool)
    return Rows(table.drop_columns([_NEW]), chosen, dropped, digest, is_new)


def _refuse_no_moment(spec: AnomalySpec, available: dict[str, str]) -> None:
    if not available[spec.time].startswith(("TIMESTAMP", "DATE")):
        raise CellworksError(
            f"'{spec.time}' is no moment",
            expected="a timestamp",
            found=available[spec.time],
            mend="name the column of the moment in `time`",
            where=spec.solution,
        )


def _query(
    spec: AnomalySpec, ctx: ModelContext, tables: Tables, chosen: Sequence[str], done: pa.Table | None
) -> pa.Table:
    moment = f"CAST(t0.{quote_identifier(spec.time)} AS TIMESTAMP)"
    is_new = "true"
    if done is not None and done.num_rows:
        tables.con.register("__done", done)
        pairs = " AND ".join(f"d.{quote_identifier(key)} = t0.{quote_identifier(key)}" for key in spec.keys)
        is_new = f"NOT EXISTS (SELECT 1 FROM __done AS d WHERE {pairs})"
    entity = _entity_sql(spec.follow, "t0")
    parts = [f"t0.{quote_identifier(key)} AS {quote_identifier(_KEY + key)}" for key in spec.keys]
    parts += [f"{entity} AS {ENTITY}", f"epoch({moment}) AS {TIME}", f"{is_new} AS {_NEW}"]
    parts += [f"CAST(t0.{quote_identifier(name)} AS DOUBLE) AS {quote_identifier(name)}" for name in chosen]
    order = ", ".join([TIME, *(f"t0.{quote_identifier(key)}" for key in spec.keys)])
    known = f"{moment} IS NOT NULL AND (CAST(? AS TIMESTAMP) IS NULL OR {moment} <= CAST(? AS TIMESTAMP))"
    sql = f"SELECT {', '.join(parts)} FROM {tables.relation(spec.table)} AS t0 WHERE {known} ORDER BY {order}"
    return tables.arrow(sql, [ctx.as_of, ctx.as_of])


def _entity_sql(columns: Sequence[str], alias: str) -> str:
    """Text that names the entity; empty for a single series."""
    if not columns:
        return "''"
    named = ", ".join(f"coalesce(CAST({alias}.{quote_identifier(name)} AS VARCHAR), '')" for name in columns)
    return f"concat_ws(' ', {named})"


def read_events(spec: AnomalySpec, ctx: ModelContext) -> list[Event]:
    """What really happened, as the events' table says; empty without one.

    Raises:
        CellworksError: the table or a column of it is missing.
    """
    asked = spec.events
    if asked is None:
        return []
    with open_tables(ctx, asked.table) as tables:
        named = [asked.begins_at, asked.ends_at, *asked.entity]
        tables.columns_with(asked.table, named, f"{spec.solution}: events")
        ends = [f"epoch(CAST({quote_identifier(name)} AS TIMESTAMP))" for name in (asked.begins_at, asked.ends_at)]
        sql = f"SELECT {_entity_sql(asked.entity, 'e')}, {', '.join(ends)} FROM {tables.relation(asked.table)} AS e"
        found = tables.arrow(f"{sql} ORDER BY 2").to_pydict()
    return [
        Event(entity if asked.entity else None, begin, end)
        for entity, begin, end in zip(*found.values(), strict=True)
        if begin is not None and end is not None
    ]
