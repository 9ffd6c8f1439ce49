"""Into which places of the ageing stores to put the newest trays: near the doors, and none in the way of another."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.optimizer.plan_spec import Slotting
from models.optimizer.plans.items import Asked, Case, Item
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers import slotting
from pipelines.optimizers.runs import Floats, Ints
from pipelines.optimizers.weigh import weigh

_BEHIND = 2


def cases(asked: Asked, kind: Slotting) -> list[Case]:
    """One plan of all stores; none where no tray is new."""
    rows = _stays(asked, kind)
    return [_case(asked, kind, rows)] if pc.any(rows["is_new"]).as_py() else []


def _stays(asked: Asked, kind: Slotting) -> pa.Table:
    """Trays in the stores, the newest marked, with when each is due: as long after it came as trays used to stay."""
    scope, key, place, put, out, known = (
        quote_identifier(name)
        for name in (*asked.spec.keys, kind.place_column, kind.in_column, kind.out_column, kind.known_column)
    )
    names = ", ".join(f"'{part}'" for part in kind.parts)
    parts = ", ".join(f"TRY_CAST(found['{part}'] AS INTEGER) AS {part}" for part in kind.parts)
    return asked.read(
        f"""
        WITH known AS (SELECT * FROM {asked.tables.relation(asked.spec.table)} WHERE {known} <= ?),
        dwell AS (
            SELECT median(epoch({out}) - epoch({put})) AS stay_s FROM known WHERE {out} IS NOT NULL AND {out} > ?),
        there AS (
            SELECT CAST({scope} AS VARCHAR) AS scope, {key} AS item, {place} AS place, {put} AS put_at,
                regexp_extract({place}, ?, [{names}]) AS found
            FROM known WHERE {put} <= ? AND ({out} IS NULL OR {out} > ?) AND {scope} IS NOT NULL)
        SELECT scope, item, place, {parts}, epoch(put_at) + coalesce((SELECT stay_s FROM dwell), 0) AS due_s,
            put_at > ? AS is_new
        FROM there ORDER BY put_at, item
        """,
        asked.now, asked.now - timedelta(days=kind.learn_days), kind.place, asked.now, asked.now,
        asked.now - timedelta(hours=kind.look_back_h),
    )  # fmt: skip


def lane_of(kind: Slotting, rows: pa.Table, where: str) -> Ints:
    """Number of the lane of each place, counted as the store's codes are.

    Raises:
        CellworksError: a place is not as `place` says, or outside the stores.
    """
    most = {"zone": kind.zones, "column": kind.columns_of_zone, "level": kind.levels, "depth": _BEHIND}
    parts = {name: pc.fill_null(rows[name], 0).to_numpy() for name in kind.parts}
    store = pc.fill_null(pc.index_in(rows["scope"], pa.array(kind.stores)), -1).to_numpy()
    outside = np.any([store < 0, *((parts[name] < 1) | (parts[name] > most[name]) for name in parts)], axis=0)
    if outside.any():
        first = rows.slice(int(np.flatnonzero(outside)[0]), 1).to_pylist()[0]
        raise CellworksError(
            "a place is outside the stores",
            expected=f"{kind.place} in one of {', '.join(kind.stores)}, within {most}",
            found=f"{first['place']} in {first['scope']}",
            mend="correct `place`, `stores`, `zones`, `columns_of_zone` or `levels` in defs.yaml",
            where=where,
        )
    column = (store * kind.zones + parts["zone"] - 1) * kind.columns_of_zone + parts["column"] - 1
    found: Ints = (column * kind.levels + parts["level"] - 1).astype(np.int64)
    return found


def travel_m(kind: Slotting) -> Floats:
    """Way from the door of its store to each lane."""
    column, level = np.meshgrid(
        np.arange(1, kind.zones * kind.columns_of_zone + 1), np.arange(1, kind.levels + 1), indexing="ij"
    )
    return np.tile((column * kind.column_m + level * kind.level_m).ravel(), len(kind.stores)).astype(np.float64)


def _case(asked: Asked, kind: Slotting, rows: pa.Table) -> Case:
    lane, due_s = lane_of(kind, rows, asked.spec.solution), rows["due_s"].to_numpy()
    new = rows["is_new"].to_numpy(zero_copy_only=False)
    travel = travel_m(kind)
    is_behind = rows["depth"].to_numpy() == _BEHIND if kind.deep == _BEHIND else np.ones(len(rows), dtype=bool)
    behind, full = np.full(len(travel), np.nan), np.zeros(len(travel), dtype=bool)
    behind[lane[~new & is_behind]] = due_s[~new & is_behind]
    full[lane[~new & ~is_behind]] = True
    problem = slotting.Slotting(travel, behind, full, due_s[new], kind.relocation_m, kind.deep)
    weighed = weigh(slotting.SLOTTING, problem, kind.effort)
    items = [
        Item((row["scope"], row["item"]), "put", float(2 * travel[own]), bool(own != rule), f"into {_said(kind, own)}",
             _said(kind, own), _said(kind, rule))
        for row, own, rule in zip(rows.filter(rows["is_new"]).to_pylist(), weighed.plan, weighed.rule, strict=True)
    ]  # fmt: skip
    return Case("stores", "travel and relocation, m", weighed, items)


def _said(kind: Slotting, lane: int) -> str:
    column, level = divmod(int(lane), kind.levels)
    zone, column = divmod(column, kind.columns_of_zone)
    store, zone = divmod(zone, kind.zones)
    return f"{kind.stores[store]}, zone {zone + 1}, column {column + 1}, level {level + 1}"
