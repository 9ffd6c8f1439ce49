"""What the night of a solution costs: CPU, memory and bytes of the process that does it."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.lake.traffic import moved

_IO: Final = Path("/proc/self/io")
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB


@dataclass(frozen=True)
class Cost:
    """What something cost.

    Attributes:
        wall_s: how long it took, s.
        cpu_s: time of all cores, of the process and of the children that it waited for, s.
        peak_memory_bytes: the most that the process held at once since it began, shared libraries included.
        read_bytes: what it read from files, the page cache included; None where the system doesn't count it. What
            goes over a connection to a server is not in it.
        written_bytes: what it wrote to files, likewise.
        s3_read_bytes: what DuckDB fetched from the object store; 0 where the stores are files.
        s3_written_bytes: what DuckDB and uploads of ours sent there.
    """

    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    read_bytes: int | None
    written_bytes: int | None
    s3_read_bytes: int
    s3_written_bytes: int


class Meter:
    """Counts from the moment it is made."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s, self._bytes = time.monotonic(), _cpu_s(), _bytes()
        self._moved = moved()

    def cost(self) -> Cost:
        """What this process used up since the meter was made."""
        now, sent = _bytes(), moved()
        read, written = (None, None) if now is None or self._bytes is None else _minus(now, self._bytes)
        return Cost(
            wall_s=time.monotonic() - self._wall_s,
            cpu_s=_cpu_s() - self._cpu_s,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT,
            read_bytes=read,
            written_bytes=written,
            s3_read_bytes=sent.read - self._moved.read,
            s3_written_bytes=sent.written - self._moved.written,
        )


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _bytes() -> tuple[int, int] | None:
    """Bytes that this process has read and written so far; None where the system doesn't tell."""
    try:
        lines = _IO.read_text(encoding="ascii").splitlines()
    except OSError:  # no Linux, or a kernel that keeps no such account
        return None
    told = dict(line.split(": ") for line in lines)
    return int(told["rchar"]), int(told["wchar"])


def _minus(now: tuple[int, int], before: tuple[int, int]) -> tuple[int, int]:
    return now[0] - before[0], now[1] - before[1]
