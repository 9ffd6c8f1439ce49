"""Dagster's runs, events and schedules on their way to PostgreSQL.

SQLite keeps the events of each run in a file of its own and those of assets and of runs' states once more in
`index.db`, whose numbers other tables and the cursors of sensors name. PostgreSQL keeps all in one table: the index's
events keep their numbers, the others follow in the order of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from duckdb import DuckDBPyConnection

from orchestration import progress
from pipelines.lake.sql import quote_identifier, quote_literal
from pipelines.lake.stores import Stores
from pipelines.moving.tables import Verified, attach_sqlite, fill, in_order, mover

_MADE_HERE: Final = ("alembic_version", "secondary_indexes")
"""Tables that the installed version fills itself."""
_EVENTS: Final = "all_events"


def fill_runs_of_home(stores: Stores, dagster_dir: Path) -> list[Verified]:
    """Bring the runs of an embedded instance to PostgreSQL.

    Raises:
        CellworksError: PostgreSQL does not answer, or a table reads back otherwise.
    """
    url = _made(stores)
    with mover(url) as con:
        sources: dict[str, str] = {}
        history = dagster_dir / "history"
        for alias, file in (
            ("runs_db", history / "runs.db"),
            ("schedules_db", dagster_dir / "schedules" / "schedules.db"),
            ("index_db", history / "runs" / "index.db"),
        ):
            if file.is_file():
                sources |= attach_sqlite(con, file, alias)
        if "event_logs" in sources:
            shards = sorted(each for each in (history / "runs").glob("*.db") if each.name != "index.db")
            _gather_events(con, sources["event_logs"], shards)
            sources["event_logs"] = _EVENTS
        return fill(con, "public", in_order(url, sources, leave_out=_MADE_HERE), progress=progress.advance)


def fill_runs(stores: Stores, sources: Mapping[str, str]) -> list[Verified]:
    """Bring runs back from the Parquet of a backup; see `fill_runs_of_home`."""
    url = _made(stores)
    with mover(url) as con:
        return fill(con, "public", in_order(url, sources, leave_out=_MADE_HERE), progress=progress.advance)


def _made(stores: Stores) -> str:
    """Let Dagster make its tables; the database's address."""
    from dagster_postgres.storage import DagsterPostgresStorage

    if stores.dagster_url is None:
        raise ValueError("embedded stores have no server")
    progress.begin("runs and events of Dagster")
    DagsterPostgresStorage(stores.dagster_url)
    return stores.dagster_url


def _gather_events(con: DuckDBPyConnection, index: str, shards: list[Path]) -> None:
    con.execute(f"CREATE TABLE {_EVENTS} AS FROM {index}")
    con.execute(f"CREATE TABLE others AS FROM {_EVENTS} LIMIT 0")
    for number, shard in enumerate(shards):
        progress.advance("runs gathered", number, len(shards))
        con.execute(f"ATTACH {quote_literal(shard)} AS shard (TYPE sqlite, READ_ONLY)")
        con.execute(f"INSERT INTO others BY NAME FROM shard.{quote_identifier('event_logs')}")
        con.execute("DETACH shard")
    con.execute(
        f"INSERT INTO {_EVENTS} BY NAME SELECT * REPLACE ("
        f"(SELECT coalesce(max(id), 0) FROM {_EVENTS}) + row_number() OVER (ORDER BY timestamp, run_id, id) AS id) "
        f"FROM others ANTI JOIN (SELECT run_id, event FROM {_EVENTS}) AS known USING (run_id, event)"
    )
