"""The table `solutions.<slug>`: one row per entity and model version, only ever appended to.

`predicted_at` and `known_at` are the plant's now; `scored_at` is the wall clock when it was written,
by which the newest row is told: never before that of an earlier row, whatever became of the clock.
`model_version` is the number that the registry gave; in the table of a family that learns nothing, the rule's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from models.solution import SolutionSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import newest_stamp, stamp_after, wall_now
from pipelines.lake.connection import create_missing, reader, retrying, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import area_of
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import columns_of, has_table

COLUMNS = {
    "event_at": "TIMESTAMP",
    "value": "DOUBLE",
    "low": "DOUBLE",
    "high": "DOUBLE",
    "probability": "DOUBLE",
    "class": "VARCHAR",
    "is_flagged": "BOOLEAN",
    "reasons": "VARCHAR",
    "model_version": "INTEGER",
    "lake_snapshot": "BIGINT",
    "predicted_at": "TIMESTAMP",
    "known_at": "TIMESTAMP",
    "scored_at": "TIMESTAMP",
}

_STAMP = "scored_at"


def relation(slug: str) -> str:
    """SQL name of a solution's table."""
    return f"lake.solutions.{quote_identifier(slug)}"


def _key_type(kind: pa.DataType) -> str:
    """DuckDB type of a key column."""
    if pa.types.is_integer(kind):
        return "BIGINT"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "DOUBLE"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    return "DATE" if pa.types.is_date(kind) else "VARCHAR"


def answer_table(
    keys: Mapping[str, pa.ChunkedArray],
    event_at: Any | None,
    answers: Mapping[str, Any],
    now: datetime,
    stamp: tuple[int | str, int | None],
) -> pa.Table:
    """Answers as rows of a solution's table.

    Args:
        keys: key columns by name.
        event_at: datetime64[us] per row: the moment that the row is of; None for a table without time.
        answers: any of `value`, `low`, `high`, `probability` (numbers), `class`, `reasons` (text), and `is_flagged`.
        now: the plant's now of the answers (UTC, naive).
        stamp: model version or name of the rule, and lake snapshot that was read (None for a file).
    """
    count, moment = len(answers["is_flagged"]), pa.timestamp("us")

    def column(values: Any | None, kind: pa.DataType) -> pa.Array:
        if values is None:
            return pa.nulls(count, kind)
        return values if isinstance(values, pa.Array) else pa.array(values, kind)

    version, snapshot = stamp
    columns: dict[str, Any] = {
        **keys,
        "event_at": column(event_at, moment),
        **{name: column(answers.get(name), pa.float64()) for name in ("value", "low", "high", "probability")},
        "class": column(answers.get("class"), pa.string()),
        "is_flagged": column(answers["is_flagged"], pa.bool_()),
        "reasons": column(answers.get("reasons"), pa.string()),
        "model_version": pa.repeat(pa.scalar(version, pa.string() if isinstance(version, str) else pa.int32()), count),
        "lake_snapshot": column(None if snapshot is None else np.full(count, snapshot), pa.int64()),
        "predicted_at": pa.repeat(pa.scalar(now, moment), count),
        "known_at": pa.repeat(pa.scalar(now, moment), count),
        "scored_at": pa.repeat(pa.scalar(wall_now(), moment), count),
    }
    return pa.table(columns)


def append_answers(
    home: Home,
    spec: SolutionSpec,
    rows: pa.Table,
    since: datetime,
    further: Mapping[str, pa.Table] = MappingProxyType({}),
    current: Mapping[str, pa.Table] = MappingProxyType({}),
) -> None:
    """Append answers to the solution's table; the first ones make it, its keys with the types that they have.

    Done again while a server is away: what an attempt wrote without hearing of its end is found by the next, which then
    refuses to answer twice.

    Args:
        home: the instance.
        spec: the solution.
        rows: as `answer_table` makes them.
        since: the wall's clock before it was asked what is answered already.
        further: what is no answer for an entity, by the end of its table's name (`solutions.<slug>_<end>`), with the
            columns that it has; written in the same transaction.
        current: likewise, but in place of what was there.

    Raises:
        CellworksError: another run has answered since; nothing is written.
    """
    retrying(lambda: _append(home, spec, rows, since, further, current))


def _append(
    home: Home,
    spec: SolutionSpec,
    rows: pa.Table,
    since: datetime,
    further: Mapping[str, pa.Table],
    current: Mapping[str, pa.Table],
) -> None:
    own = {key: _key_type(rows.schema.field(key).type) for key in spec.keys}
    version = "VARCHAR" if pa.types.is_string(rows.schema.field("model_version").type) else COLUMNS["model_version"]
    kinds = own | COLUMNS | {"model_version": version}
    body = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in kinds.items())
    with writer(home, why=f"answers of {spec.solution}", area=area_of(spec.solution)) as con:
        create_missing(con, "CREATE SCHEMA IF NOT EXISTS lake.solutions")
        con.execute(f"CREATE TABLE IF NOT EXISTS {relation(spec.slug)} ({body})")
        newest = newest_stamp(con, relation(spec.slug), _STAMP)
        _refuse_beside(spec, newest, since)
        stamp = stamp_after(newest)
        con.register("__new", _stamped(rows, stamp))
        for end, table in further.items():
            con.register(f"__new_{end}", _stamped(table, stamp))
            con.execute(
                f"CREATE TABLE IF NOT EXISTS {relation(f'{spec.slug}_{end}')} AS SELECT * FROM __new_{end} LIMIT 0"
            )
            _widen(con, f"{spec.slug}_{end}", f"__new_{end}")
        with transaction(con):
            con.execute(f"INSERT INTO {relation(spec.slug)} BY NAME SELECT * FROM __new")
            for end in further:
                con.execute(f"INSERT INTO {relation(f'{spec.slug}_{end}')} BY NAME SELECT * FROM __new_{end}")
            for end, table in current.items():
                con.register(f"__now_{end}", table)
                con.execute(f"CREATE OR REPLACE TABLE {relation(f'{spec.slug}_{end}')} AS FROM __now_{end}")


def _widen(con: DuckDBPyConnection, table: str, rows: str) -> None:
    """Add the columns that a table of an earlier release lacks; its rows have none of them."""
    there = columns_of(con, "solutions", table) or []
    for name, kind, *_ in con.execute(f"DESCRIBE {rows}").fetchall():
        if name not in there:
            con.execute(f"ALTER TABLE {relation(table)} ADD COLUMN {quote_identifier(name)} {kind}")


def _refuse_beside(spec: SolutionSpec, newest: datetime | None, since: datetime) -> None:
    """Refuse answers that were worked out beside another run: both would answer for the same entities.

    A stamp ahead of the clock is of before the clock was set back.
    """
    if newest is not None and since <= newest <= wall_now():
        raise CellworksError(
            f"another run has answered for {spec.solution} meanwhile",
            expected=f"no answer since {since:%Y-%m-%d %H:%M:%S} UTC, when this run asked what is answered already",
            found=f"one of {newest:%Y-%m-%d %H:%M:%S} UTC",
            mend="let it end; this run has written no answer, and the next one goes on from there",
        )


def _stamped(rows: pa.Table, stamp: datetime) -> pa.Table:
    """Rows with the stamp of their writing, where their table has one."""
    place = rows.schema.get_field_index(_STAMP)
    if place < 0:
        return rows
    return rows.set_column(place, _STAMP, pa.repeat(pa.scalar(stamp, pa.timestamp("us")), rows.num_rows))


def not_current(home: Home, spec: SolutionSpec, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Those of the tables `solutions.<slug>_<end>` that say something else than they say now, or are not there yet."""
    if not tables or not home.has_lake:
        return dict(tables)
    with reader(home) as con:
        return {
            end: table
            for end, table in tables.items()
            if not has_table(con, "solutions", f"{spec.slug}_{end}")
            or not con.execute(f"FROM {relation(f'{spec.slug}_{end}')}").to_arrow_table().equals(table)
        }


def scored_keys(home: Home, spec: SolutionSpec, version: int) -> pa.Table | None:
    """Keys whose newest prediction is this version's; None before there is any.

    After a rollback the former champion scores anew, so that the newest row of an entity is always the champion's.
    """
    if not home.has_lake:
        return None
    with reader(home) as con:
        if not has_table(con, "solutions", spec.slug):
            return None
        keys = ", ".join(quote_identifier(key) for key in spec.keys)
        return con.execute(
            f"SELECT {keys} FROM {relation(spec.slug)} GROUP BY {keys} HAVING arg_max(model_version, scored_at) = ?",
            [version],
        ).to_arrow_table()


def news(home: Home, spec: SolutionSpec, rows: pa.Table) -> tuple[pa.Table, int]:
    """What a rule's answers tell that its stored ones do not.

    Args:
        home: the instance.
        spec: the solution.
        rows: answers for every entity, by one rule, as `answer_table` makes them.

    Returns:
        The rows of entities whose newest stored answer is another rule's, or differs in class, flag or value; and the
        number of them that take back a class which the same rule had given.
    """
    if not home.has_lake:
        return rows, 0
    names = [quote_identifier(key) for key in spec.keys]
    told = ("class", "is_flagged", "value")
    differ = " OR ".join(f"r.{quote_identifier(name)} IS DISTINCT FROM told.{quote_identifier(name)}" for name in told)
    with reader(home) as con:
        if not has_table(con, "solutions", spec.slug):
            return rows, 0
        con.register("__rows", rows)
        # As one struct: `arg_max` passes over rows whose value is null, and the newest class may be.
        found = con.execute(
            f"""
            WITH newest AS (
                SELECT {", ".join(names)},
                    arg_max({{{", ".join(f"'{name}': {quote_identifier(name)}" for name in (*told, "model_version"))}}},
                        scored_at) AS told
                FROM {relation(spec.slug)} GROUP BY ALL)
            SELECT r.*, coalesce(told.class IS NOT NULL AND told.class IS DISTINCT FROM r.class, false) AS __is_revised
            FROM __rows AS r LEFT JOIN newest ON told.model_version = r.model_version
                AND {" AND ".join(f"newest.{name} = r.{name}" for name in names)}
            WHERE told IS NULL OR {differ}
            """
        ).to_arrow_table()
    return found.drop_columns(["__is_revised"]), int(pc.sum(found.column("__is_revised")).as_py() or 0)
