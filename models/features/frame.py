"""One solution's rows as Arrow: candidate features, keys, raw target, times, groups, baseline, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.context import ModelContext
from models.features.select import Selection, exact_selection, kind_of, select_features
from models.features.sequence import sequence_sql
from models.features.source import Tables, open_tables
from models.solution import SolutionSpec
from models.spec import PredictiveSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.files import file_digest, file_suffix, resolve_file
from pipelines.lake.sql import quote_identifier, quote_literal

Array = npt.NDArray[Any]
_TARGET, _KNOWN, _TIME, _GROUP, _BASE = "__target", "__known_at", "__time", "__group", "__baseline"
_LATE, _PART = "__is_late", "__part"
_KEY = "__key_"


class EmptyTableError(CellworksError):
    """There is not one row to read."""


@dataclass
class Frame:
    """Rows in the order of time and keys, so that a seed means the same on every machine.

    Attributes:
        table: candidate feature columns (numbers as float32, categories as text) and the keys.
        selection: which columns those are, and why others are not.
        target: raw labels; null where not known as of the context's moment. None when not asked for.
        known_at: when each label may be used, datetime64[us]: when it became known, and not before the target's delay
            has passed; None without either.
        late_ratio: share of the labels that came later than the target's delay, in [0, 1].
        time: when the solution acts, datetime64[us]; None for a table without time.
        group: text of the group; None without one.
        part: text of the part; None without one.
        baseline: naive prediction of the table; None without one.
        slices: text per row of each slice column.
        beside: further columns as they are, that a family asked for beside the target.
        digest: snapshot id or file hash.
    """

    table: pa.Table
    selection: Selection
    keys: list[str]
    target: pa.ChunkedArray | None = None
    known_at: Array | None = None
    time: Array | None = None
    group: pa.ChunkedArray | None = None
    part: pa.ChunkedArray | None = None
    baseline: Array | None = None
    slices: dict[str, pa.ChunkedArray] = field(default_factory=dict)
    beside: dict[str, pa.ChunkedArray] = field(default_factory=dict)
    digest: str = ""
    late_ratio: float = 0.0

    @property
    def n_rows(self) -> int:
        """Rows."""
        return int(self.table.num_rows)

    def raw_target(self) -> pa.ChunkedArray:
        """The raw labels.

        Raises:
            ValueError: the frame was read without them.
        """
        if self.target is None:
            raise ValueError("this frame was read without its target")
        return self.target

    def take(self, rows: Array) -> Frame:
        """The frame of some rows (indices or a boolean mask)."""
        index = pa.array(np.flatnonzero(rows) if rows.dtype == bool else rows)
        return Frame(
            table=self.table.take(index),
            selection=self.selection,
            keys=self.keys,
            target=None if self.target is None else self.target.take(index),
            known_at=None if self.known_at is None else self.known_at[rows],
            time=None if self.time is None else self.time[rows],
            group=None if self.group is None else self.group.take(index),
            part=None if self.part is None else self.part.take(index),
            baseline=None if self.baseline is None else self.baseline[rows],
            slices={name: column.take(index) for name, column in self.slices.items()},
            beside={name: column.take(index) for name, column in self.beside.items()},
            digest=self.digest,
            late_ratio=self.late_ratio,
        )


@dataclass(frozen=True)
class _Source:
    """Where each column comes from: alias per table."""

    tables: dict[str, str]
    columns: dict[str, dict[str, str]]

    def find(self, column: str, table: str | None, spec: PredictiveSpec, what: str) -> str:
        """SQL of a column, looked for in its own table first."""
        for name in dict.fromkeys([table or spec.table, spec.table, *self.tables]):
            if column in self.columns[name]:
                return f"{self.tables[name]}.{quote_identifier(column)}"
        raise CellworksError(
            f"{what} '{column}' is missing",
            expected=f"a column of {', '.join(self.tables)}",
            found=", ".join(list(self.columns[table or spec.table])[:30]),
            where=spec.solution,
        )

    def find_own(self, column: str, spec: PredictiveSpec, what: str) -> str:
        """SQL of a column that scoring reads too, where no label stands beside the features yet."""
        if column not in self.columns[spec.table]:
            raise CellworksError(
                f"{what} '{column}' is missing",
                expected=f"a column of {spec.table}: a label table has no row for what is scored",
                found=", ".join(list(self.columns[spec.table])[:30]),
                where=spec.solution,
            )
        return f"{self.tables[spec.table]}.{quote_identifier(column)}"

    def type_of(self, column: str, table: str | None, spec: PredictiveSpec) -> str:
        """DuckDB type of a column that `find` has found."""
        order = dict.fromkeys([table or spec.table, spec.table, *self.tables])
        return next(self.columns[name][column] for name in order if column in self.columns[name])


def _sources(tables: Tables, spec: PredictiveSpec, with_target: bool) -> _Source:
    names = [spec.table]
    if with_target:
        names += [name for name in (spec.target.table, spec.baseline.table) if name and name not in names]
    aliases = {name: f"t{place}" for place, name in enumerate(names)}
    return _Source(aliases, {name: tables.columns(name) for name in names})


def _feature_sql(selection: Selection) -> list[str]:
    numbers = [f"CAST(t0.{quote_identifier(n)} AS FLOAT) AS {quote_identifier(n)}" for n in selection.numbers]
    texts = [f"CAST(t0.{quote_identifier(n)} AS VARCHAR) AS {quote_identifier(n)}" for n in selection.categories]
    return numbers + texts


def _label_sql(source: _Source, spec: PredictiveSpec, ctx: ModelContext) -> tuple[list[str], list[object]]:
    """Target, known-at and baseline columns; a label that may not be used yet at the context's moment is null."""
    target = source.find(spec.target.column, spec.target.table, spec, "the target")
    if kind_of(source.type_of(spec.target.column, spec.target.table, spec)) is None:
        found = source.type_of(spec.target.column, spec.target.table, spec)
        raise CellworksError(
            f"the target '{spec.target.column}' has a type that cannot be predicted",
            expected="a number, a boolean or a class",
            found=found,
            where=spec.solution,
        )
    out, parameters = [], list[object]()
    known, is_late = _usable_from(source, spec)
    if known is not None:
        out += [f"{known} AS {_KNOWN}", f"{is_late} AS {_LATE}"]
        if ctx.as_of is not None:
            target = f"CASE WHEN {known} <= CAST(? AS TIMESTAMP) THEN {target} END"
            parameters.append(ctx.as_of)
    out.insert(0, f"{target} AS {_TARGET}")
    if spec.baseline.column:
        column = source.find(spec.baseline.column, spec.baseline.table, spec, "the column baseline.column")
        out.append(f"CAST({column} AS DOUBLE) AS {_BASE}")
    return out, parameters


def _usable_from(source: _Source, spec: PredictiveSpec) -> tuple[str | None, str]:
    """SQL of the moment from which a label may be used, and of whether it came later than the target's delay.

    Of the entities that are younger than the delay only the early labels are there, and those are of one kind: what
    fails is known first. They would teach, and be judged on, a share of failures that does not exist.
    """
    known = due = None
    if spec.target.known_at:
        column = source.find(spec.target.known_at, spec.target.table, spec, "the column target.known_at")
        known = f"CAST({column} AS TIMESTAMP)"
    if spec.target.delay_h is not None and spec.split.time:
        time = source.find_own(spec.split.time, spec, "the column split.time")
        due = f"(CAST({time} AS TIMESTAMP) + INTERVAL ({round(spec.target.delay_h * 3600)}) SECOND)"
    if known is None or due is None:
        return known or due, "false"
    return f"CASE WHEN {known} IS NOT NULL THEN greatest({known}, {due}) END", f"{known} > {due}"


def _query(
    tables: Tables,
    source: _Source,
    spec: PredictiveSpec,
    ctx: ModelContext,
    selection: Selection,
    with_target: bool,
    further: list[tuple[str, str]],
) -> tuple[str, str, list[object]]:
    """SELECT and FROM, the ORDER BY, and the parameters of the labels."""
    keys = [source.find_own(key, spec, "the key") for key in spec.keys]
    parts = [f"{sql} AS {quote_identifier(_KEY + key)}" for sql, key in zip(keys, spec.keys, strict=True)]
    parts += _feature_sql(selection)
    order = list(keys)
    if spec.split.time:
        time = source.find_own(spec.split.time, spec, "the column split.time")
        parts.append(f"CAST({time} AS TIMESTAMP) AS {_TIME}")
        order.insert(0, time)
    if with_target and spec.split.group:
        group = source.find(spec.split.group, spec.target.table, spec, "the column split.group")
        parts.append(f"CAST({group} AS VARCHAR) AS {_GROUP}")
    if with_target and spec.split.part:
        part = source.find(spec.split.part, spec.target.table, spec, "the column split.part")
        parts.append(f"CAST({part} AS VARCHAR) AS {_PART}")
    for place, name in enumerate(spec.slices):
        column = source.find_own(name, spec, "the slice")
        parts.append(f"coalesce(CAST({column} AS VARCHAR), 'missing') AS __slice_{place}")
    parts += [f"{sql} AS __beside_{place}" for place, (_, sql) in enumerate(further)]
    parameters: list[object] = []
    if with_target:
        labels, parameters = _label_sql(source, spec, ctx)
        parts += labels
    return f"SELECT {', '.join(parts)} FROM {_joined(tables, source, spec)}", ", ".join(order), parameters


def _joined(tables: Tables, source: _Source, spec: PredictiveSpec) -> str:
    """FROM clause: the feature table and what is joined to it on the keys."""
    sql = ""
    for name, alias in source.tables.items():
        relation = f"{tables.relation(name)} AS {alias}"
        on = " AND ".join(f"t0.{quote_identifier(key)} = {alias}.{quote_identifier(key)}" for key in spec.keys)
        sql = f"{sql} LEFT JOIN {relation} ON {on}" if sql else relation
    return sql


def _moment(table: pa.Table, name: str) -> Array | None:
    """A timestamp column as datetime64[us]; None when the query had none."""
    if name not in table.column_names:
        return None
    return np.asarray(table.column(name).to_numpy()).astype("datetime64[us]")


def check_keys(table: pa.Table, spec: SolutionSpec) -> None:
    """Refuse keys that do not name one row."""
    names = [_KEY + key for key in spec.keys]
    distinct = table.group_by(names).aggregate([]).num_rows
    if distinct != table.num_rows:
        raise CellworksError(
            f"the keys {', '.join(spec.keys)} do not name one row of '{spec.table}'",
            expected=f"{table.num_rows} different keys",
            found=f"{distinct}",
            mend="name more key columns, or a label table with one row per entity",
            where=spec.solution,
        )


def _assemble(table: pa.Table, spec: PredictiveSpec, ctx: ModelContext, selection: Selection) -> Frame:
    """Part the query's result into the frame's fields."""
    if table.num_rows == 0:
        raise EmptyTableError(
            f"the table '{spec.table}' has no rows",
            expected="at least 50 labelled rows",
            found="0 rows",
            where=spec.solution,
        )
    check_keys(table, spec)
    names = table.column_names
    suffix = file_suffix(spec.table)
    digest = str(ctx.snapshot or 0) if suffix is None else file_digest(resolve_file(spec.table, ctx.files_root))
    return Frame(
        table=table.select([*selection.columns, *(_KEY + key for key in spec.keys)]),
        selection=selection,
        keys=list(spec.keys),
        target=table.column(_TARGET) if _TARGET in names else None,
        known_at=_moment(table, _KNOWN),
        time=_moment(table, _TIME),
        group=table.column(_GROUP) if _GROUP in names else None,
        part=table.column(_PART) if _PART in names else None,
        baseline=np.asarray(table.column(_BASE).to_numpy(), dtype=np.float64) if _BASE in names else None,
        slices={name: table.column(f"__slice_{place}") for place, name in enumerate(spec.slices)},
        digest=digest,
        late_ratio=float(pc.mean(table.column(_LATE)).as_py() or 0.0) if _LATE in names else 0.0,
    )


def _only_sql(tables: Tables, spec: PredictiveSpec) -> str:
    """The feature table with the rows that the question is asked of."""
    tables.columns_with(spec.table, spec.only, f"{spec.solution}: only")
    asked = [
        f"CAST({quote_identifier(column)} AS VARCHAR) IN ({', '.join(quote_literal(value) for value in values)})"
        for column, values in spec.only.items()
    ]
    return f"(SELECT * FROM {tables.relation(spec.table)} WHERE {' AND '.join(asked)})"


def load_frame(
    spec: PredictiveSpec,
    ctx: ModelContext,
    *,
    with_target: bool = True,
    columns: Sequence[str] | None = None,
    where: str = "",
    relations: Mapping[str, pa.Table] | None = None,
    beside: Sequence[str] = (),
) -> Frame:
    """Read a solution's rows.

    Args:
        spec: the solution.
        ctx: snapshot, moment and threads.
        with_target: join the labels, the group and the baseline as well; scoring does not.
        columns: exactly these feature columns, a learnt contract's; None: what the YAML selects.
        where: SQL condition over `t0` (the feature table), made of quoted names only.
        relations: Arrow tables that the condition may read, by name.
        beside: columns read as they are, of the target's table or the solution's.

    Returns:
        The frame, ordered by time and keys.

    Raises:
        CellworksError: a table or column is missing, a feature leaks, or keys are not unique.
    """
    with open_tables(ctx, spec.table) as tables:
        for name, relation in (relations or {}).items():
            tables.con.register(name, relation)
        if spec.only:
            tables.widened[spec.table] = _only_sql(tables, spec)
        if spec.sequence is not None:
            plain = tables.relation(spec.table)
            tables.widened[spec.table] = sequence_sql(spec, spec.sequence, plain, tables.columns(spec.table))
        source = _sources(tables, spec, with_target)
        available = source.columns[spec.table]
        selection = (
            select_features(spec, ctx, available)
            if columns is None
            else exact_selection(columns, available, spec.table)
        )
        further = [(name, source.find(name, spec.target.table, spec, "the column")) for name in beside]
        query, order, bound = _query(tables, source, spec, ctx, selection, with_target, further)
        condition = f" WHERE {where}" if where else ""
        table = tables.arrow(f"{query}{condition} ORDER BY {order}", bound)
    frame = _assemble(table, spec, ctx, selection)
    frame.beside = {name: table.column(f"__beside_{place}") for place, name in enumerate(beside)}
    return frame
