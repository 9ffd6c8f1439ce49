"""MLflow's database and artifacts on their way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from duckdb import DuckDBPyConnection

from models.registry.place import root_uri
from orchestration import progress
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_literal
from pipelines.lake.stores import Stores
from pipelines.moving.tables import Verified, fill, in_order, mover

MADE_HERE: Final = ("alembic_version",)
"""Tables that the installed version fills itself."""


def fill_registry(stores: Stores, sources: Mapping[str, str], attach: tuple[str, ...], old_root: str) -> list[Verified]:
    """Bring runs, versions and aliases to PostgreSQL, their artifacts' addresses rewritten.

    Args:
        stores: the servers.
        sources: relation by table.
        attach: statements that make the relations readable.
        old_root: where the artifacts were, as MLflow wrote it.

    Raises:
        CellworksError: MLflow does not answer, or a table reads back otherwise.
    """
    from models.registry.client import open_at

    progress.begin("the registry's tables")
    if "runs" not in sources:
        return []  # nothing was ever learnt there, and MLflow makes its tables when it is first asked
    open_at(stores.mlflow_uri)  # makes the tables
    with mover(stores.mlflow_uri) as con:
        for statement in attach:
            con.execute(statement)
        _refuse_elsewhere(con, sources["runs"], root_uri(old_root))
        wanted = in_order(stores.mlflow_uri, sources, leave_out=MADE_HERE)
        return fill(con, "public", wanted, change=moved(old_root, stores.mlflow_artifacts), progress=progress.advance)


def _refuse_elsewhere(con: DuckDBPyConnection, runs: str, root: str) -> None:
    """Artifacts in other folders would not come along."""
    found = con.execute(
        f"SELECT artifact_uri FROM {runs} WHERE starts_with(artifact_uri, 'file:') "
        f"AND NOT starts_with(artifact_uri, {quote_literal(root + '/')}) LIMIT 1"
    ).fetchone()
    if found is not None:
        raise CellworksError(
            "MLflow names artifacts outside this home",
            expected=f"addresses below {root}",
            found=str(found[0]),
            mend="put the home back into the folder where it was made; nothing of it was moved",
        )


def moved(old_root: str, new_root: str) -> Callable[[str, str, str], str]:
    """The expression of a text column in which addresses below one root lie below another."""
    old, new = root_uri(old_root), root_uri(new_root)

    def change(_table: str, column: str, kind: str) -> str:
        if kind != "VARCHAR":
            return column
        return (
            f"CASE WHEN starts_with({column}, {quote_literal(old + '/')}) "
            f"THEN {quote_literal(new)} || substr({column}, {len(old) + 1}) ELSE {column} END"
        )

    return change
