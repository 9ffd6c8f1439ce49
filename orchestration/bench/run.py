"""The benchmark: which groups of rows there are, in which order, in a folder of their own that goes afterwards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from orchestration.bench import data, learning, nights
from orchestration.bench.ground import Ground, Size, Tell
from orchestration.bench.machine import description
from orchestration.bench.process import bare_folder
from orchestration.bench.rows import Row
from orchestration.interruption import interruption_in
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

GROUPS: dict[str, Callable[[Ground], list[Row]]] = {
    "definitions": nights.definitions,
    "twin": nights.twin,
    "ingestion": data.ingestion,
    "curation": data.curation,
    "demo": nights.demo,
    "expectations": data.expectations,
    "training": learning.training,
    "scoring": learning.scoring,
    "night": nights.night,
    "second_night": nights.second_night,
}
"""In the order in which they run: the first night before the second, which changes the plant."""


def measure(home: Home, size: Size, only: str | None, tell: Tell) -> dict[str, Any]:
    """Measure, and return rows, what failed, the machine and the size as plain values.

    Args:
        home: Instance below whose folder the benchmark keeps its own ones.
        size: See `Size`.
        only: One group of `GROUPS`; None for all.
        tell: Called with which group of how many is at work, and with what.

    Raises:
        CellworksError: No such group, or the bare scripts are not there.
    """
    if only is not None and only not in GROUPS:
        raise CellworksError(
            f"the benchmark has no part '{only}'",
            expected=", ".join(GROUPS),
            found=only,
            mend="name one of these, or leave --only out",
        )
    bare_folder()
    groups = GROUPS if only is None else {only: GROUPS[only]}
    machine = description()
    folder = home.root / "bench" / str(os.getpid())
    folder.mkdir(parents=True)
    ground = Ground(folder, size, tell)
    rows: list[Row] = []
    failed: dict[str, str] = {}
    try:
        for number, (name, group) in enumerate(groups.items(), 1):
            ground.place = f"{number}/{len(groups)} "
            try:
                rows += group(ground)
            except Exception as error:  # half an hour's other figures must not be lost; it is told
                if interruption_in(error):
                    raise
                failed[name] = str(error) if isinstance(error, CellworksError) else f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"rows": [row.as_json() for row in rows], "failed": failed, "machine": machine, "size": asdict(size)}
