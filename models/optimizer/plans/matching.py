"""Which of the graded cells that wait to put together into modules."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.optimizer.plan_spec import Matching
from models.optimizer.plans.items import Asked, Case, Item
from pipelines.lake.sql import quote_identifier
from pipelines.optimizers import matching
from pipelines.optimizers.weigh import weigh


def cases(asked: Asked, kind: Matching) -> list[Case]:
    """A plan for each product that has cells for two modules."""
    rows = _cells(asked, kind)
    found = []
    for product in pc.unique(rows["scope"]).to_pylist():
        own = rows.filter(pc.equal(rows["scope"], product))
        modules = min(kind.modules, len(own) // asked.cells_per_module)
        if modules >= 2:
            found.append(_case(asked, kind, product, own.slice(0, modules * asked.cells_per_module)))
    return found


def _cells(asked: Asked, kind: Matching) -> pa.Table:
    """Cells that wait for a module and were measured in full, the first graded first."""
    asked.tables.columns_with(
        kind.graded_table, [*asked.spec.keys, kind.known_at, kind.grade, kind.module, *kind.alike], asked.spec.solution
    )
    scope, key = (quote_identifier(name) for name in asked.spec.keys)
    values = ", ".join(f"{quote_identifier(name)}::DOUBLE AS value_{no}" for no, name in enumerate(kind.alike))
    whole = " AND ".join(f"isfinite({quote_identifier(name)}::DOUBLE)" for name in kind.alike)
    known, grade = quote_identifier(kind.known_at), quote_identifier(kind.grade)
    return asked.read(
        f"""
        SELECT CAST({scope} AS VARCHAR) AS scope, {key} AS item, {values}
        FROM {asked.tables.relation(kind.graded_table)}
        WHERE {known} <= ? AND {quote_identifier(kind.module)} IS NULL AND list_contains(?, {grade}) AND {whole}
        ORDER BY scope, {known}, item
        """,
        asked.now, kind.grades,
    )  # fmt: skip


def _case(asked: Asked, kind: Matching, product: str, rows: pa.Table) -> Case:
    value = np.column_stack([rows[f"value_{no}"].to_numpy() for no in range(len(kind.alike))])
    problem = matching.Cells(value / np.array(list(kind.alike.values())), asked.cells_per_module)
    weighed = weigh(matching.MATCHING, problem, kind.effort)
    spread, ruled = (matching.ranges(problem, plan).sum(axis=1) for plan in (weighed.plan, weighed.rule))
    items = [
        Item((product, item), "module", float(spread[own]), bool(own != rule),
             f"its module is within {spread[own]:.2f} tolerances", f"{own + 1}", f"{rule + 1}")
        for item, own, rule in zip(rows["item"].to_pylist(), weighed.plan, weighed.rule, strict=True)
    ]  # fmt: skip
    curves = {"planned": spread.tolist(), "as they come": ruled.tolist()}
    return Case(product, "range within modules, tolerances", weighed, items, curves)
