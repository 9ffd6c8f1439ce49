"""`cellworks scale`: the same work with one line, three and ten, and what follows for more."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from orchestration.cli import console
from orchestration.plant import plant
from orchestration.scale.page import write
from orchestration.scale.run import measure
from orchestration.scale.stages import FULL, SMALL

COLUMNS = ("what", "met", "found")


def scale(docs: Path | None, figures: Path | None, *, small: bool, as_json: bool) -> None:
    """Measure, print, and write page and figures where they are named; exit code 1 when anything asked was not met."""
    # A plain end by SIGTERM would leave the measured process running and the folder behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with console.bars() as shown:
        told = measure(plant().home, SMALL if small else FULL, shown.begin)
    told["command"] = " ".join(["cellworks", *sys.argv[1:]])
    if docs is not None:
        write(told, docs)
    if figures is not None:
        figures.parent.mkdir(parents=True, exist_ok=True)
        figures.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    failed = sum(not each["passed"] for each in told["outcomes"])
    if as_json:
        console.tell(told, "", as_json=True)
    else:
        console.table(COLUMNS, [_row(each) for each in told["outcomes"]])
        print(f"{len(told['outcomes']) - failed} passed, {failed} failed")
    if failed:
        sys.exit(1)


def _row(outcome: dict[str, Any]) -> list[str]:
    return [outcome["name"], "yes" if outcome["passed"] else "NO", outcome["found"]]
