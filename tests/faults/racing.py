"""Two processes that do the same work on one home, again and again, while lots arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from orchestration.environment import default_site
from pipelines.lake.home import Home
from tests.faults.deliveries import put_lot

ROOT = Path(__file__).parents[2]
FIFTY, ROWS = 50, 20
# The work is done once more after the input's end, so that what came last is done too; then the numbers' sum is told.
_PROGRAM = """
import select, sys
from pathlib import Path
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
{work}
site, home, told = load_site(Path(sys.argv[1])), Home(Path(sys.argv[2])), 0
print("ready", flush=True)
while True:
    is_over = bool(select.select([sys.stdin], [], [], 0)[0])
    told += work(home, site)
    if is_over:
        break
print(told, flush=True)
"""


def raced(work: str, home: Home, patience_s: float) -> list[int]:
    """Deliver fifty lots while two processes work; what the work came to in each.

    Args:
        work: Python that defines `work(home, site)`, which returns a number.
        home: Where they work, and where the lots arrive.
        patience_s: How long they may take once all lots are there.
    """
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(work=work), str(default_site()), str(home.root)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in racing:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for number in range(FIFTY):
        put_lot(home, number, ROWS)
    told = [process.communicate(timeout=patience_s)[0] for process in racing]
    assert [process.returncode for process in racing] == [0, 0]
    return [int(each) for each in told]
