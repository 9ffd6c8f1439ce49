"""Into which lane of the ageing store to put the newest trays, so that none stands in the way of another."""

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
    """A plan for each store with new trays."""
    rows = _stays(asked, kind)
    found = []
    for store in pc.unique(rows["scope"]).to_pylist():
        own = rows.filter(pc.equal(rows["scope"], store))
        if pc.any(own["is_new"]).as_py():
            found.append(_case(asked, kind, store, own))
    return found


def _stays(asked: Asked, kind: Slotting) -> pa.Table:
    """Trays in the store, the newest marked, with when each is due: as long after it came as trays used to stay."""
    scope, key, place, put, out, known = (
        quote_identifier(name)
        for name in (*asked.spec.keys, kind.place_column, kind.in_column, kind.out_column, kind.known_column)
    )
    parts = ", ".join(
        f"regexp_extract({place}, ?, ['aisle', 'bay', 'level', 'depth'])['{part}']::INTEGER AS {part}"
        for part in ("aisle", "bay", "level", "depth")
    )
    return asked.read(
        f"""
        WITH known AS (SELECT * FROM {asked.tables.relation(asked.spec.table)} WHERE {known} <= ?),
        dwell AS (
            SELECT {scope} AS store, median(epoch({out}) - epoch({put})) AS stay_s FROM known
            WHERE {out} IS NOT NULL AND {out} > ? GROUP BY 1)
        SELECT CAST({scope} AS VARCHAR) AS scope, {key} AS item, {place} AS place, {parts},
            epoch({put}) + coalesce(stay_s, 0) AS due_s, {put} > ? AS is_new
        FROM known LEFT JOIN dwell ON {scope} = store
        WHERE {put} <= ? AND ({out} IS NULL OR {out} > ?) AND {scope} IS NOT NULL
        ORDER BY scope, {put}, item
        """,
        asked.now, asked.now - timedelta(days=kind.learn_days), *[kind.place] * 4,
        asked.now - timedelta(hours=kind.look_back_h), asked.now, asked.now,
    )  # fmt: skip


def lane_of(kind: Slotting, rows: pa.Table, where: str) -> Ints:
    """Number of the lane of each place.

    Raises:
        CellworksError: a place is not as `place` says, or outside the store.
    """
    parts = {name: pc.fill_null(rows[name], 0).to_numpy() for name in ("aisle", "bay", "level", "depth")}
    most = {"aisle": kind.aisles, "bay": kind.bays, "level": kind.levels, "depth": _BEHIND}
    outside = np.any([(parts[name] < 1) | (parts[name] > most[name]) for name in most], axis=0)
    if outside.any():
        raise CellworksError(
            "a place is outside the store",
            expected=f"{kind.place} with {kind.aisles} aisles, {kind.bays} bays, {kind.levels} levels, 2 deep",
            found=str(rows["place"][int(np.flatnonzero(outside)[0])].as_py()),
            mend="correct optimizer.place, aisles, bays or levels in defs.yaml",
            where=where,
        )
    found: Ints = ((parts["aisle"] - 1) * kind.bays + parts["bay"] - 1) * kind.levels + parts["level"] - 1
    return found


def travel_m(kind: Slotting) -> Floats:
    """Way from the door to each lane."""
    _, bay, level = np.meshgrid(*(np.arange(1, n + 1) for n in (kind.aisles, kind.bays, kind.levels)), indexing="ij")
    found: Floats = (bay * kind.bay_m + level * kind.level_m).ravel().astype(np.float64)
    return found


def _case(asked: Asked, kind: Slotting, store: str, rows: pa.Table) -> Case:
    lane, due_s = lane_of(kind, rows, asked.spec.solution), rows["due_s"].to_numpy()
    new = rows["is_new"].to_numpy(zero_copy_only=False)
    travel, depth = travel_m(kind), rows["depth"].to_numpy()
    behind, full = np.full(len(travel), np.nan), np.zeros(len(travel), dtype=bool)
    for there, deep, due in zip(lane[~new], depth[~new], due_s[~new], strict=True):
        behind[there] = due if deep == _BEHIND else behind[there]
        full[there] |= deep != _BEHIND
    problem = slotting.Slotting(travel, behind, full, due_s[new], kind.relocation_m)
    weighed = weigh(slotting.SLOTTING, problem, kind.effort)
    names = rows["item"].to_pylist()
    items = [
        Item((store, names[no]), "put", float(2 * travel[own]), bool(own != rule), f"into {_said(kind, int(own))}",
             _said(kind, int(own)), _said(kind, int(rule)))
        for no, own, rule in zip(np.flatnonzero(new), weighed.plan, weighed.rule, strict=True)
    ]  # fmt: skip
    return Case(store, "travel and relocation, m", weighed, items)


def _said(kind: Slotting, lane: int) -> str:
    rest, level = divmod(lane, kind.levels)
    aisle, bay = divmod(rest, kind.bays)
    return f"aisle {aisle + 1}, bay {bay + 1}, level {level + 1}"
