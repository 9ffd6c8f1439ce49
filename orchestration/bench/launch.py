"""Starts a command and writes down its wall and CPU seconds and peak memory: `launch.py TOLD.json CORES COMMAND...`.

It ends with the exit code of the command. Run by its path, with the standard library alone: a process inherits the peak
memory of whoever starts it, so the starter has to be small. CORES binds the command to as many cores, where the system
can; 0 leaves it free.
"""

import json
import os
import signal
import sys
import time
from types import FrameType


def main() -> None:
    """Run the command and end with its exit code."""
    told, cores, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    begun = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the child by itself
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - begun
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    with open(told, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs as much memory as all the rest
        spent = {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime}
        json.dump({**spent, "peak_bytes": usage.ru_maxrss * scale}, file)
    sys.exit(abs(os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    main()
