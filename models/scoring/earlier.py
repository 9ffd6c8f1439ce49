"""Answers of an earlier release, whose solution answered for other entities."""

from __future__ import annotations

from models.scoring.table import relation
from models.solution import SolutionSpec
from pipelines.lake.connection import current_snapshot, reader, writer
from pipelines.lake.home import Home
from pipelines.lake.lock import area_of
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import columns_of


def set_aside(home: Home, spec: SolutionSpec) -> str | None:
    """Rename a solution's table whose keys are others than the solution's, so that it begins a new one.

    Answers for cells can't stand among answers for rolls, and no reader could tell them apart. They stay readable by
    their new name, `solutions.<slug>_until_<snapshot>`.

    Returns:
        That name without the schema; None when there was nothing to set aside.

    Raises:
        CellworksError: another writer holds the solution's tables.
    """
    if not home.has_lake:
        return None
    with reader(home) as con:
        columns = columns_of(con, "solutions", spec.slug)
        if columns is None or set(spec.keys) <= set(columns):
            return None
        name = f"{spec.slug}_until_{current_snapshot(con)}"
    with writer(home, why=f"earlier answers of {spec.solution}", area=area_of(spec.solution)) as con:
        con.execute(f"ALTER TABLE {relation(spec.slug)} RENAME TO {quote_identifier(name)}")
    return name
