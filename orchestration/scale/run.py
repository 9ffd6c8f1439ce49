"""Measuring all sizes one after the other, in a folder of their own that goes afterwards; and the plan that follows."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from orchestration.bench.ground import Tell
from orchestration.bench.machine import description
from orchestration.scale.outcomes import growths, outcomes
from orchestration.scale.plan import plan
from orchestration.scale.stages import Plant, Size, measure_plant
from pipelines.lake.connection import memory_limit, threads
from pipelines.lake.home import Home

MOST_BYTES: Final = 12 * 2**30
"""What one plant's home may take of the disk; a size that is expected to take more is not begun."""


def measure(home: Home, size: Size, tell: Tell) -> dict[str, Any]:
    """Measure each size, and return figures, growth, plan and outcomes as plain values.

    Args:
        home: instance below whose folder the plants are kept, one at a time.
        size: see `Size`.
        tell: called with which size of how many is at work, and with what.
    """
    machine = description()
    folder = home.root / "scale" / str(os.getpid())
    folder.mkdir(parents=True)
    plants: list[Plant] = []
    not_begun: dict[str, str] = {}
    try:
        for number, lines in enumerate(size.lines, 1):
            if refused := _no_room(plants, lines, folder):
                not_begun[str(lines)] = refused
                continue
            plants.append(measure_plant(folder, lines, size, _placed(tell, f"{number}/{len(size.lines)} ")))
            shutil.rmtree(folder / f"lines_{lines}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told: dict[str, Any] = {
        "plants": [each.as_json() for each in plants],
        "not_begun": not_begun,
        "machine": machine,
        "threads": threads(),
        "memory_limit": memory_limit(),
        "size": asdict(size),
    }
    told["growth"] = growths(told)
    told["plan"] = plan(told)
    told["outcomes"] = outcomes(told)
    return told


def _placed(tell: Tell, place: str) -> Tell:
    """Says what is being done with the place before it."""
    return lambda what: tell(place + what)


def _no_room(plants: list[Plant], lines: int, folder: Path) -> str:
    """Why a size is not begun; empty where it is. The disk grows with the lines, as those before did."""
    if not plants:
        return ""
    expected = plants[-1].home_bytes * lines / plants[-1].lines
    room = min(MOST_BYTES, shutil.disk_usage(folder).free * 0.9)
    if expected <= room:
        return ""
    return f"would take {expected / 2**30:.1f} GiB of disk, {room / 2**30:.1f} GiB may be taken"
