"""Which daughter rolls to cut from the mother rolls that wait at the slitter."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.optimizer.plan_spec import Cutting
from models.optimizer.plans.items import Asked, Case, Item
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers import cutting
from pipelines.optimizers.runs import Ints
from pipelines.optimizers.weigh import weigh


def cases(asked: Asked, kind: Cutting) -> list[Case]:
    """A plan for each variant that has rolls waiting."""
    rolls, marks = _rolls(asked, kind), _marks(asked, kind)
    found = []
    for variant in pc.unique(rolls["scope"]).to_pylist():
        own = rolls.filter(pc.equal(rolls["scope"], variant))
        found.append(_case(kind, variant, own, marks))
    return found


def _rolls(asked: Asked, kind: Cutting) -> pa.Table:
    """Rolls that are ready and not scrapped, the first ready first."""
    scope, key, length, ready, known = (
        quote_identifier(name) for name in (*asked.spec.keys, kind.length_column, kind.ready_column, kind.known_column)
    )
    here = f"AND {quote_identifier(kind.gone_column)} IS NULL" if kind.gone_column else ""
    if kind.cut_table:
        here += f" AND {key} NOT IN (SELECT {key} FROM {asked.tables.relation(kind.cut_table)} WHERE {key} IS NOT NULL)"
    return asked.read(
        f"""
        SELECT CAST({scope} AS VARCHAR) AS scope, {key} AS item, {length}::DOUBLE AS length_m
        FROM {asked.tables.relation(asked.spec.table)}
        WHERE {scope} IS NOT NULL AND {length} > 0 AND {ready} > ? AND {ready} <= ? AND {known} <= ? {here}
        ORDER BY scope, {ready}, item
        """,
        asked.now - timedelta(hours=kind.max_age_h), asked.now, asked.now,
    )  # fmt: skip


def _marks(asked: Asked, kind: Cutting) -> dict[str, list[tuple[float, float]]]:
    """Stretches that are to be left out, by roll."""
    if kind.mark_table is None:
        return {}
    key = quote_identifier(asked.spec.keys[-1])
    rows = asked.read(
        f"SELECT {key} AS item, from_m, to_m FROM {asked.tables.relation(kind.mark_table)} WHERE known_at <= ?",
        asked.now,
    )
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows.to_pylist():
        found.setdefault(row["item"], []).append((row["from_m"], row["to_m"]))
    return found


def _case(kind: Cutting, variant: str, rolls: pa.Table, marks: dict[str, list[tuple[float, float]]]) -> Case:
    items, lengths = rolls["item"].to_pylist(), rolls["length_m"].to_pylist()
    clean = [
        cutting.stretches(length, np.array(marks.get(item, ()), dtype=np.float64).reshape(-1, 2))
        for item, length in zip(items, lengths, strict=True)
    ]
    # All lanes are slit at the same metre: a stretch is cut once, and gives a roll of each lane.
    owner = np.repeat(np.arange(len(items)), [len(each) for each in clean])
    stretch_m = np.concatenate([each[:, 1] - each[:, 0] for each in clean]) if clean else np.zeros(0)
    sizes = sorted(kind.sizes, key=lambda size: -size.cells)
    problem = cutting.Cutting(
        stretch_m,
        np.array([size.cells for size in sizes]),
        np.array([size.rolls // kind.lanes for size in sizes]),
        kind.cell_m,
        kind.thread_m,
    )
    weighed = weigh(cutting.CUTTING, problem, kind.effort)
    told = []
    for no, item in enumerate(items):
        own, rule = (count[owner == no].sum(axis=0) for count in (weighed.plan, weighed.rule))
        used_m = float(own @ problem.cells) * kind.cell_m
        place, rule_place = (_said(problem, count) for count in (own, rule))
        told.append(
            Item((variant, item), "cut" if own.any() else "keep", used_m, place != rule_place,
                 f"{used_m:.0f} of {lengths[no]:.0f} m become {place}", place, rule_place)
        )  # fmt: skip
    return Case(variant, "web left over, m of each lane", weighed, told)


def _said(problem: cutting.Cutting, count: Ints) -> str:
    return " + ".join(f"{n} x {cells} cells" for n, cells in zip(count, problem.cells, strict=True) if n) or "nothing"
