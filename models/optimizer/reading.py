"""From published tables to what a run-to-run controller reads: runs of each machine, what feeds them, past moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.optimizer.aim import Aim, aim_of
from models.optimizer.spec import Fed, OptimizerSpec, RunToRun
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table
from pipelines.optimizers.runs import Feed, Floats, Moves, Runs

IN_FORCE = ("approved", "released")
_FEED_BEFORE = timedelta(days=7)  # by how much earlier than the runs what they are made of may have been ready


@dataclass(frozen=True)
class Machine:
    """A machine before its next run.

    Attributes:
        name: its key. keys: key columns of its newest run, one value each.
        aim: what is held and moved.
        runs: its past runs. feed: what feeds it. moves: proposed moves, oldest first.
        setpoint: set-point in force: of the newest move that was approved or released, else the recipe's.
    """

    name: str
    keys: dict[str, Any]
    aim: Aim
    runs: Runs
    feed: Feed
    moves: Moves
    setpoint: float


def machines(spec: OptimizerSpec, kind: RunToRun, ctx: ModelContext, now: datetime) -> list[Machine]:
    """Every machine that had a run within the days that are learnt from, as known at the plant's now.

    Raises:
        CellworksError: there is no site, the plan does not allow the move, or a column is missing.
    """
    if ctx.site is None:
        raise CellworksError(f"{spec.solution} needs a control plan", expected="a site", found="none")
    since = now - timedelta(days=kind.learn_days)
    with open_tables(ctx, spec.table) as tables:
        rows = tables.arrow(_runs_sql(spec, kind, tables), [since, now])
        fed = tables.arrow(_feed_sql(kind.fed, kind.variant, tables), [since - _FEED_BEFORE, now]) if kind.fed else None
    past = past_moves(ctx, now)
    found = []
    for name, own in each(rows, "machine"):
        variants = pc.unique(own["variant"]).to_pylist()
        if len(variants) != 1:
            raise CellworksError(
                f"machine {name} has runs of several variants", expected="one", found=f"{variants}", where=spec.solution
            )
        aim = aim_of(ctx.site, kind, variants[0], spec.solution)
        found.append(_machine(spec, kind, name, own, _feed(fed, variants[0], kind.fed), aim, past))
    return found


def _machine(
    spec: OptimizerSpec,
    kind: RunToRun,
    name: str,
    rows: pa.Table,
    feed: tuple[Feed, pa.Array],
    aim: Aim,
    past: pa.Table,
) -> Machine:
    at_s = floats(rows, "at_s")
    course = course_of(past, name, aim.moved.code, aim.nominal)
    items = pc.index_in(rows["item_key"], feed[1]) if len(feed[1]) else pa.nulls(len(rows), pa.int32())
    runs = Runs(
        at_s,
        floats(rows, "known_s"),
        physical(floats(rows, "held"), aim.held.physical_min, aim.held.physical_max),
        physical(floats(rows, "moved"), aim.moved.physical_min, aim.moved.physical_max),
        course.at(at_s - kind.dead_time_s),
        pc.fill_null(items, -1).to_numpy(zero_copy_only=False).astype(np.int64),
    )
    keys = {key: rows[f"key_{no}"][-1].as_py() for no, key in enumerate(spec.keys)}
    return Machine(name, keys, aim, runs, feed[0], course.moves, float(course.values[-1]))


@dataclass(frozen=True)
class Course:
    """A set-point of a machine over time.

    Attributes:
        changed_s: when it was changed, seconds since 1970, ascending, shape (n,).
        values: before the first change and after each, shape (n + 1,); the last one is in force.
        moves: all that was proposed to the machine; a move of another set-point has size 0.
    """

    changed_s: Floats
    values: Floats
    moves: Moves

    def at(self, moment_s: Floats) -> Floats:
        """The set-point in force at some moments."""
        found: Floats = self.values[np.searchsorted(self.changed_s, moment_s, side="right")]
        return found


def course_of(past: pa.Table, machine: str, code: str, nominal: float) -> Course:
    """The course of a set-point: the recipe's, then that of each move that was approved or released.

    Args:
        past: as `past_moves` reads them.
        machine: its key.
        code: of the set-point in the plan.
        nominal: of the recipe.
    """
    own = past.filter(pc.equal(past["target_id"], machine))
    of_code = pc.fill_null(pc.equal(own["code"], code), False)
    # A move of another set-point of the machine is no change of this one, but it counts among the day's.
    sizes = np.where(of_code.to_numpy(zero_copy_only=False), floats(own, "size"), 0.0)
    carried = own.filter(pc.and_(of_code, pc.is_in(own["state"], pa.array(IN_FORCE))))
    values = np.concatenate([[nominal], floats(carried, "proposed_value")])
    return Course(floats(carried, "at_s"), values, Moves(floats(own, "at_s"), sizes))


def physical(values: Floats, low: float, high: float) -> Floats:
    """Values outside what gauge and physics allow are no measurement."""
    found: Floats = np.where((values >= low) & (values <= high), values, np.nan)
    return found


def _runs_sql(spec: OptimizerSpec, kind: RunToRun, tables: Tables) -> str:
    ran, known = quote_identifier(kind.ran_at), quote_identifier(kind.known_at)
    keys = ", ".join(f"{quote_identifier(key)} AS key_{no}" for no, key in enumerate(spec.keys))
    machine = quote_identifier(spec.keys[0])
    return f"""
        SELECT {keys}, CAST({machine} AS VARCHAR) AS machine, {variant_sql(kind.variant)} AS variant,
            epoch({ran})::DOUBLE AS at_s, epoch({known})::DOUBLE AS known_s,
            {quote_identifier(kind.hold)}::DOUBLE AS held, {quote_identifier(kind.by)}::DOUBLE AS moved,
            {f"CAST({quote_identifier(kind.fed.key)} AS VARCHAR)" if kind.fed else "NULL::VARCHAR"} AS item_key
        FROM {tables.relation(spec.table)}
        WHERE {machine} IS NOT NULL AND {ran} > ? AND {known} <= ?
        ORDER BY machine, at_s, known_s
    """


def _feed_sql(fed: Fed, variant: str | None, tables: Tables) -> str:
    ready, known = quote_identifier(fed.ready_at), quote_identifier(fed.known_at)
    values = ", ".join(f"{quote_identifier(name)}::DOUBLE AS value_{no}" for no, name in enumerate(fed.columns))
    return f"""
        SELECT CAST({quote_identifier(fed.key)} AS VARCHAR) AS item_key, {variant_sql(variant)} AS variant,
            epoch({ready})::DOUBLE AS ready_s, epoch({known})::DOUBLE AS known_s,
            {f"{quote_identifier(fed.gone)} IS NOT NULL" if fed.gone else "false"} AS is_gone, {values}
        FROM {tables.relation(fed.table)}
        WHERE {ready} > ? AND {known} <= ?
        ORDER BY ready_s, item_key
    """


def variant_sql(column: str | None) -> str:
    """SQL of the variant of a row; null without such a column."""
    return f"CAST({quote_identifier(column)} AS VARCHAR)" if column else "NULL::VARCHAR"


def _feed(fed: pa.Table | None, variant: str | None, spec: Fed | None) -> tuple[Feed, pa.Array]:
    """What feeds the machines of a variant, and the names of the items."""
    if fed is None or spec is None:
        return Feed(np.zeros(0), np.zeros(0), np.zeros((0, 0)), np.zeros(0)), pa.array([], pa.string())
    own = fed if variant is None else fed.filter(pc.equal(fed["variant"], variant))
    values = np.column_stack([floats(own, f"value_{no}") for no in range(len(spec.columns))])
    # The table tells that an item is scrapped, as far as known at this snapshot, not since when.
    is_gone = own["is_gone"].to_numpy(zero_copy_only=False).astype(bool)
    gone_s = np.where(is_gone, -np.inf, np.inf)
    return Feed(floats(own, "ready_s"), floats(own, "known_s"), values, gone_s), own["item_key"].combine_chunks()


def past_moves(ctx: ModelContext, now: datetime) -> pa.Table:
    """Proposed moves of set-points with what became of each, by anyone; at the newest state, not the snapshot.

    Those of this very moment are left out: asked again, a machine gets the same answer.
    """
    if not ctx.home.has_lake:
        return no_moves()
    with reader(ctx.home) as con:
        if not has_table(con, "ops", "action"):
            return no_moves()
        return con.execute(
            """
            SELECT target_id, characteristic_code AS code, epoch(proposed_at)::DOUBLE AS at_s,
                coalesce(proposed_value - current_value, 0) AS size, proposed_value, state
            FROM lake.ops.action JOIN (
                SELECT action_id, arg_max(event, seq) AS state FROM lake.ops.action_audit GROUP BY action_id
            ) USING (action_id)
            WHERE kind = 'setpoint_advice' AND proposed_at < ? ORDER BY proposed_at
            """,
            [now],
        ).to_arrow_table()


def no_moves() -> pa.Table:
    """As `past_moves` before anything was proposed."""
    return pa.schema(
        [("target_id", pa.string()), ("code", pa.string()), ("at_s", pa.float64()), ("size", pa.float64()),
         ("proposed_value", pa.float64()), ("state", pa.string())]
    ).empty_table()  # fmt: skip


def each(rows: pa.Table, column: str) -> Iterator[tuple[str, pa.Table]]:
    """Rows by the value of a column."""
    for name in pc.unique(rows[column]).to_pylist():
        yield name, rows.filter(pc.equal(rows[column], name))


def floats(rows: pa.Table, column: str) -> Floats:
    """A column of numbers; null is NaN."""
    found: Floats = rows[column].to_numpy(zero_copy_only=False).astype(np.float64)
    return found
