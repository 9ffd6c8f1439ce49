"""`cellworks bench`: each figure of the platform beside the bare one, measured in one run."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

from orchestration.bench.ground import FULL, SMALL
from orchestration.bench.report import COLUMNS, lines, write
from orchestration.bench.run import measure
from orchestration.cli import console
from orchestration.plant import plant


def bench(only: str | None, telemetry_days: int | None, docs: Path | None, *, small: bool, as_json: bool) -> None:
    """Measure, print, and write the documentation's page where one is named; exit code 1 when a part failed."""
    size = SMALL if small else FULL
    if telemetry_days is not None:
        size = replace(size, telemetry_days=telemetry_days)
    # A plain end by SIGTERM would leave the measured process running and the folder behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with console.bars() as shown:
        result = measure(plant().home, size, only, shown.begin)
    result["command"] = " ".join(["cellworks", *sys.argv[1:]])
    if docs is not None:
        write(result, docs)
    if as_json:
        console.tell(result, "", as_json=True)
    else:
        console.table(COLUMNS, lines(result))
    for name, why in result["failed"].items():
        print(f"not measured: {name}: {why}", file=sys.stderr)
    if result["failed"]:
        sys.exit(1)
