"""One DuckDB per instance and process, which dbt and this package share.

Loading the extensions and reading the catalogue costs 0.4 s; a nightly run makes eleven calls of dbt. The connection
stays open between them, idle and outside any transaction.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.lake.connection import ALIAS, attach_statements, memory_limit, retrying, threads
from pipelines.lake.home import Home

_open: dict[tuple[int, Path], tuple[object, DuckDBPyConnection]] = {}
_bare: dict[tuple[int, Path], DuckDBPyConnection] = {}
"""Connections to which the lake could not be attached."""


def name(home: Home) -> str:
    """Name of the instance's DuckDB within a process; the same in all of them, or dbt would parse anew in each."""
    return f":memory:curation {home.root}"


def config(home: Home) -> dict[str, Any]:
    """Configuration of the DuckDB; whoever connects to it must give the same."""
    return {
        "threads": threads(),
        "memory_limit": memory_limit(),
        "temp_directory": str(home.lake_dir / "tmp"),
        "extension_directory": str(home.extension_dir),
        "autoinstall_known_extensions": False,
    }


def connection(home: Home) -> DuckDBPyConnection:
    """The shared connection of an instance, with the lake attached; the caller holds the writer lock."""
    key, catalogue = (os.getpid(), home.root), home.lake_identity
    held = _open.get(key)
    if held is not None and held[0] == catalogue:
        return held[1]
    # Kept where attaching failed: opening another by the name of one that is not quite gone, DuckDB waits for ever.
    bare = _bare.pop(key, None)
    close(home)
    home.ensure()
    con = bare or duckdb.connect(name(home), config=config(home))
    try:
        retrying(lambda: _attach(con, home))
    except BaseException:
        _bare[key] = con
        raise
    _open[key] = (home.lake_identity, con)
    return con


def close(home: Home) -> None:
    """Close the shared connection of an instance, if there is one."""
    key = (os.getpid(), home.root)
    held, bare = _open.pop(key, None), _bare.pop(key, None)
    if held is not None:
        held[1].close()
    if bare is not None:
        bare.close()


def _attach(con: DuckDBPyConnection, home: Home) -> None:
    # dbt keeps a connection of its own to this DuckDB, and with it what was attached before.
    con.execute(f"DETACH DATABASE IF EXISTS {ALIAS}")
    for statement in attach_statements(home):
        con.execute(statement)
