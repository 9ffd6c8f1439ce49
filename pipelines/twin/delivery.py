"""How records reach the platform: files in the drop folder and rows of the ERP database, with a line's real flaws."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipelines.control_plan.derive import column_of, raw_schema
from pipelines.control_plan.feeds import EVENT_AT, KNOWN_AT, Feed
from pipelines.control_plan.plan import Characteristic
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier
from pipelines.twin.clock import HOUR
from pipelines.twin.rng import Module, stream
from pipelines.twin.table import Table, concat, length, take
from pipelines.twin.world import World

_TYPES = {
    "VARCHAR": pa.string(), "INTEGER": pa.int32(), "DOUBLE": pa.float64(), "FLOAT": pa.float32(),
    "BOOLEAN": pa.bool_(), "TIMESTAMP": pa.timestamp("us"),
}  # fmt: skip
_FLAWED = ("mes__calendering", "mes__assembly", "mes__filling", "tester__formation", "ems__meter_interval")


def with_flaws(world: World, day: int, feed: str, table: Table) -> Table:
    """Missing, late, duplicated and corrected records, at the rates of twin.yaml."""
    count = length(table)
    if not count or feed not in _FLAWED:
        return table
    rng = stream(world.seed, day, Module.DEFECTS)
    table = take(table, rng.uniform(size=count) >= world.p("records.missing_ratio"))
    count = length(table)
    late = rng.uniform(size=count) < world.p("records.late_ratio")
    table["known_s"] = table["known_s"] + late * rng.exponential(world.p("records.late_mean_h") * HOUR, count)
    twice = take(table, rng.uniform(size=count) < world.p("records.duplicate_ratio"))
    mended = take(table, rng.uniform(size=count) < world.p("records.corrected_ratio"))
    if length(mended):
        mended["known_s"] = mended["known_s"] + world.p("records.corrected_after_h") * HOUR
        number = next(
            (n for n in mended if mended[n].dtype == np.float64 and n not in ("event_s", "known_s", "started_s")), None
        )
        if number is not None:
            mended[number] = mended[number] * world.p("records.corrected_factor")
    return concat([table, twice, mended])


def flawed_by_scenario(world: World, day: int, due: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """A day's delivery with what the scenario does to it: a wrong unit, a stuck gauge, a record lost or twice there."""
    scenario = world.scenario
    if not scenario.is_on(day):
        return due
    for code, is_stuck in ((scenario.unit_error, False), (scenario.stuck, True)):
        if code:
            _spoil_column(world, world.site.plan.by_code[code], due, is_stuck=is_stuck)
    for name, is_missing in ((scenario.missing, True), (scenario.duplicated, False)):
        if name and (table := due.get(name)) is not None and table.num_rows:
            due[name] = table.slice(1) if is_missing else _twice(world, world.site.feeds[name], table)
    return due


def _spoil_column(world: World, row: Characteristic, due: dict[str, pa.Table], *, is_stuck: bool) -> None:
    table = due.get(row.feed)
    if table is None:
        return
    column = column_of(world.site, row)
    old = table[column]
    new = pa.array(np.full(table.num_rows, row.nominal or 0.0)) if is_stuck else pc.divide(old, 1000.0)
    # Rows of other electrodes, and of other characteristics in a long table, stay as they are.
    for name, own in (("characteristic_code", row.code), ("electrode_code", row.variant)):
        if own and name in table.column_names:
            new = pc.if_else(pc.equal(table[name], own), new, old)
    due[row.feed] = table.set_column(table.column_names.index(column), column, new)


def _twice(world: World, feed: Feed, table: pa.Table) -> pa.Table:
    """The first record once more under the same key, at the same time and with other content."""
    first = table.slice(0, 1)
    for name, column in feed.columns.items():
        if column.type == "number" and name in first.column_names:
            other = pc.multiply(first[name], world.p("records.contradiction_factor"))
            first = first.set_column(first.column_names.index(name), name, other)
            break
    return pa.concat_tables([table, first])


def arrow(world: World, feed: Feed, table: Table) -> pa.Table:
    """Records as delivered: the feed's columns in order, plant seconds as UTC; a `_s` column fills its `_at`."""
    columns = {}
    for name, kind in raw_schema(world.site, feed).items():
        stem = name.removesuffix("_at")
        if kind == "TIMESTAMP" and f"{stem}_s" in table:
            seconds = np.asarray(table[f"{stem}_s"], dtype=np.float64)
            known = np.isfinite(seconds)
            columns[name] = pa.array(world.clock.utc(np.where(known, seconds, 0.0)), pa.timestamp("us"), mask=~known)
        elif name in table:
            columns[name] = pa.array(table[name], _TYPES[kind])
        else:
            columns[name] = pa.nulls(length(table), _TYPES[kind])
    return pa.table(columns)


def write_file(folder: Path, feed: Feed, name: str, table: pa.Table) -> Path:
    """Write a delivery: as `.part` first, so that nobody reads half of it."""
    form = feed.delivery.format
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{form}"
    part = path.with_name(path.name + ".part")
    if form == "parquet":
        pq.write_table(table, part, compression="zstd", compression_level=1, use_dictionary=["control_point_no"])
    elif form == "jsonl":
        part.write_text(_json_lines(table), encoding="utf-8")
    else:
        buffer = io.BytesIO()
        pa_csv.write_csv(table, buffer, pa_csv.WriteOptions(quoting_style="needed"))
        content = buffer.getvalue()
        part.write_bytes(_gzip(content) if form == "csv.gz" else content)
    part.replace(path)
    return path


def _gzip(content: bytes) -> bytes:
    import gzip

    # No time in the header: the same records are the same file.
    return gzip.compress(content, compresslevel=5, mtime=0)


def _json_lines(table: pa.Table) -> str:
    def plain(value: object) -> object:
        return value if value is None or isinstance(value, bool | int | float | str) else str(value)

    return "".join(json.dumps({k: plain(v) for k, v in row.items()}) + "\n" for row in table.to_pylist())


def write_erp(home: Home, day: int, tables: dict[str, pa.Table]) -> None:
    """Append a day's rows to the ERP database, once; a second call for the same day changes nothing."""
    home.erp_file.parent.mkdir(parents=True, exist_ok=True)
    con = sqlite3.connect(home.erp_file)
    try:
        with con:
            con.execute("CREATE TABLE IF NOT EXISTS twin_day (day INTEGER PRIMARY KEY)")
            done = con.execute("SELECT 1 FROM twin_day WHERE day = ?", [day]).fetchone()
            for name, table in tables.items():
                columns = ", ".join(f"{quote_identifier(each)} TEXT" for each in table.column_names)
                con.execute(
                    f"CREATE TABLE IF NOT EXISTS {quote_identifier(name)} "
                    f"(row_no INTEGER PRIMARY KEY AUTOINCREMENT, {columns})"
                )
                if done is None:
                    _insert(con, name, table)
            if done is None:
                con.execute("INSERT INTO twin_day VALUES (?)", [day])
    finally:
        con.close()


def _insert(con: sqlite3.Connection, name: str, table: pa.Table) -> None:
    names = ", ".join(quote_identifier(each) for each in table.column_names)
    marks = ", ".join("?" * table.num_columns)
    rows = [[None if value is None else str(value) for value in row.values()] for row in table.to_pylist()]
    con.executemany(f"INSERT INTO {quote_identifier(name)} ({names}) VALUES ({marks})", rows)


def sort_known(table: pa.Table) -> pa.Table:
    """Records in the order in which they became known."""
    return table.sort_by([(KNOWN_AT, "ascending"), (EVENT_AT, "ascending")])
