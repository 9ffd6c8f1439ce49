"""A DuckDB with the extensions loaded, kept for the next connection of this process.

Loading verifies their signatures, which takes 0.17 s; a night opens about sixty connections. Every lending has a
connection of its own, so that nothing of one is seen in the next, and attaches the lake anew.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

# An idle one that has gathered more is closed; pages of files are left to the operating system, which caches them too.
_RENEW_BYTES = 32_000_000
# Each attachment leaves 18 kB that DuckDB neither counts nor frees before it is closed, which a server's sensors would
# gather for months.
_RENEW_LENDINGS = 50
_CONFIG = {"allow_unsigned_extensions": "false", "enable_external_file_cache": "false"}


@dataclass
class _Held:
    """A DuckDB, and how often it was lent."""

    con: DuckDBPyConnection
    lendings: int = 0


# By process, since a forked one must not use its parent's. At most one waits.
_idle: dict[int, _Held] = {}


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
        with held.con.cursor() as con:
            yield con
        held.lendings += 1
        keep = _is_light(held.con, alias) and held.lendings < _RENEW_LENDINGS and os.getpid() not in _idle
    finally:
        if keep:
            _idle[os.getpid()] = held
        else:
            held.con.close()


def _ready(settings: dict[str, Any]) -> _Held:
    """The idle one with these settings, else a new one."""
    held = _idle.pop(os.getpid(), None)
    if held is not None:
        try:
            for name, value in settings.items():
                held.con.execute(f"SET GLOBAL {name} = ?", [value])
        except duckdb.Error:  # one that has written to its temporary folder can't take another
            held.con.close()
        else:
            return held
    return _Held(duckdb.connect(":memory:", config={**_CONFIG, **settings}))


def _is_light(held: DuckDBPyConnection, alias: str) -> bool:
    """Detach what was attached; whether little memory is in use then."""
    held.execute(f"DETACH DATABASE IF EXISTS {alias}")
    used = held.execute("SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory()").fetchone()
    return used is not None and int(used[0]) < _RENEW_BYTES
