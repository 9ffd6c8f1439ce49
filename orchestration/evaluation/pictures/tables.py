"""What a solution's tables hold after its last night."""

from __future__ import annotations

import pyarrow as pa

from models.context import ModelContext
from models.scoring.table import relation
from models.solution import SolutionSpec
from pipelines.lake.connection import reader
from pipelines.lake.tables import has_table


def further(spec: SolutionSpec, ctx: ModelContext, name: str = "", then: str = "") -> pa.Table | None:
    """Rows of a solution's answers or of a table beside them; None where it has none.

    Args:
        spec: the solution.
        ctx: its home.
        name: of the further table; empty: the answers.
        then: SQL after FROM and the table, such as what is selected, or an order.
    """
    slug = f"{spec.slug}_{name}" if name else spec.slug
    with reader(ctx.home) as con:
        if not has_table(con, "solutions", slug):
            return None
        found = con.execute(f"FROM {relation(slug)} {then}").to_arrow_table()
    return found if found.num_rows else None
