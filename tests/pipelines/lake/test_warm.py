"""What a process that opens the lake for months keeps of it."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import pytest

from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home

_COUNTED = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class _Heaps(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _COUNTED)


def _used_bytes() -> int:
    """What of the C library's heaps is in use."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("only the GNU C library, from 2.33 on, counts its heaps")
    library.mallinfo2.restype = _Heaps
    gc.collect()
    return int(library.mallinfo2().uordblks)


def test_hundreds_of_readers_leave_no_memory_in_use(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with writer(home, why="test") as con:
        con.execute("CREATE SCHEMA lake.raw")
        con.execute("CREATE TABLE lake.raw.t AS SELECT i FROM range(100) AS r (i)")

    def after_readers() -> int:
        for _ in range(50):
            with reader(home) as con:
                assert con.execute("SELECT count(*) FROM lake.raw.t").fetchone() == (100,)
        return _used_bytes()

    first, *later = (after_readers() for _ in range(3))
    assert max(later) - first < 1_000_000
