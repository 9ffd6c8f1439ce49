"""A DuckDB with the extensions loaded, kept for the next connection of this process.

Loading verifies their signatures, which takes 0.17 s; a night opens about sixty connections. Every lending has a
connection of its own, so that nothing of one is seen in the next, and attaches the lake anew.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

# An idle one that has gathered more is closed; pages of files are left to the operating system, which caches them too.
_RENEW_BYTES = 32_000_000
_CONFIG = {"allow_unsigned_extensions": "false", "enable_external_file_cache": "false"}

# By process, since a forked one must not use its parent's. At most one waits.
_idle: dict[int, DuckDBPyConnection] = {}


@contextlib.contextmanager
def lent(settings: dict[str, Any], alias: str) -> Iterator[DuckDBPyConnection]:
    """Lend a connection to the block.

    Args:
        settings: settings of the whole DuckDB, made anew for each lending.
        alias: what the block attaches, to be detached after it.
    """
    held = _ready(settings)
    keep = False
    try:
        with held.cursor() as con:
            yield con
        keep = _is_light(held, alias) and os.getpid() not in _idle
    finally:
        if keep:
            _idle[os.getpid()] = held
        else:
            held.close()


def _ready(settings: dict[str, Any]) -> DuckDBPyConnection:
    """The idle one with these settings, else a new one."""
    held = _idle.pop(os.getpid(), None)
    if held is not None:
        try:
            for name, value in settings.items():
                held.execute(f"SET GLOBAL {name} = ?", [value])
        except duckdb.Error:  # one that has written to its temporary folder can't take another
            held.close()
        else:
            return held
    return duckdb.connect(":memory:", config={**_CONFIG, **settings})


def _is_light(held: DuckDBPyConnection, alias: str) -> bool:
    """Detach what was attached; whether little memory is in use then."""
    held.execute(f"DETACH DATABASE IF EXISTS {alias}")
    used = held.execute("SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory()").fetchone()
    return used is not None and int(used[0]) < _RENEW_BYTES
