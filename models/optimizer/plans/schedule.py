"""In which sequence to make the open orders on the line's bottlenecks, and when each will be ready."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from models.optimizer.plan_spec import Schedule
from models.optimizer.plans.items import Asked, Case, Item
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers import sequencing
from pipelines.optimizers.weigh import weigh


def cases(asked: Asked, kind: Schedule) -> list[Case]:
    """One plan of the line for its open orders; none where fewer than two are open."""
    rows = _open(asked, kind)
    if len(rows) < 2:
        return []
    cells = rows["cells"].to_numpy()
    rate = np.array([step.cells_per_h for step in kind.steps])
    products = sorted(set(rows["scope"].to_pylist()))
    setup_h = np.array([step.setup_h for step in kind.steps])
    problem = sequencing.Orders(
        np.maximum(np.ceil(cells[:, None] / rate * 60), 1).astype(np.int64),
        np.floor(rows["due_min"].to_numpy() - kind.after_h * 60).astype(np.int64),
        cells,
        np.array([products.index(name) for name in rows["scope"].to_pylist()]),
        np.rint(setup_h * 60).astype(np.int64),
        float((setup_h * rate).max()),
    )
    weighed = weigh(sequencing.SEQUENCING, problem, kind.effort)
    ranks = [np.argsort(sequencing.sequence_of(plan)) + 1 for plan in (weighed.plan, weighed.rule)]
    late_h = sequencing.late_min(problem, weighed.plan) / 60
    items = []
    for no, row in enumerate(rows.to_pylist()):
        start, ruled = (asked.now + timedelta(minutes=int(plan[no, 0])) for plan in (weighed.plan, weighed.rule))
        end = asked.now + timedelta(minutes=int(weighed.plan[no, -1] + problem.minutes[no, -1]))
        ready = end + timedelta(hours=kind.after_h)
        said = f"number {ranks[0][no]} and not {ranks[1][no]}; ready {ready:%d %b %H:%M} UTC"
        items.append(
            Item((row["scope"], row["item"]), "late" if late_h[no] > 0 else "in time", float(late_h[no]),
                 bool(ranks[0][no] != ranks[1][no]), said, f"{ranks[0][no]}", f"{ranks[1][no]}", start, end, ruled)
        )  # fmt: skip
    return [Case("line", "cells times hours late, and set-ups", weighed, items)]


def _open(asked: Asked, kind: Schedule) -> pa.Table:
    """Orders that are known and that the cells made so far do not serve, as they came."""
    scope, key, ordered, due, cells, known = (
        quote_identifier(name)
        for name in (*asked.spec.keys, kind.ordered_column, kind.due_column, kind.cells_column, kind.known_column)
    )
    made = asked.tables.relation(kind.made_table)
    return asked.read(
        f"""
        WITH served AS (
            SELECT CAST({scope} AS VARCHAR) AS scope, {key} AS item, {cells}::BIGINT AS cells, {ordered} AS ordered_at,
                (epoch({due}) - epoch(?::TIMESTAMP)) / 60 AS due_min,
                sum({cells}) OVER (ORDER BY {ordered}, {key}) AS cells_so_far
            FROM {asked.tables.relation(asked.spec.table)}
            WHERE {known} <= ? AND {cells} > 0 AND {scope} IS NOT NULL)
        SELECT scope, item, cells, due_min FROM served
        WHERE cells_so_far > (SELECT count(*) FROM {made} WHERE {quote_identifier(kind.made_at)} <= ?)
        ORDER BY ordered_at, item LIMIT ?
        """,
        asked.now, asked.now, asked.now, kind.orders,
    )  # fmt: skip
