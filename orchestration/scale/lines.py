"""A site of several lines: the demo site with each machine of its line as often as there are lines."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.numbers import FIELD as NUMBERS
from pipelines.control_plan.site import load_site
from pipelines.control_plan.yaml_file import read_yaml

_NUMBERED = re.compile(r"([a-z][a-z0-9_]*?)(\d+)(?:\.\.(\d+))?")
_COSTS = ("depreciation_usd_per_day", "maintenance_usd_per_day", "overhead_usd_per_day")


def write_site(base: Path, folder: Path, lines: int) -> Path:
    """Write a site that inherits a site of one line and has more lines, all alike.

    Machines of a further line are numbered on: where the one line has `stacker_1..4`, the second has `stacker_5..8`.
    People, usual output, failures and the costs of a day grow with the lines; product, prices, control plan, feeds and
    the causes that the twin follows stay. Control points whose number would be another's are given one, as people do.

    Args:
        base: folder of the site with one line.
        folder: where the sites go, each a folder; the base is copied beside, since a site inherits from its neighbour.
        lines: how many, at least 1.

    Returns:
        The new site's folder.

    Raises:
        CellworksError: the base has several lines in an area, or a machine without a number.
    """
    beside, made = folder / base.name, folder / f"lines_{lines}"
    if not beside.is_dir():
        shutil.copytree(base, beside)
    told = read_yaml((beside / "site.yaml").read_text(encoding="utf-8"))
    standard, costs = told["standard"], told["cost_rates"]
    grown = {
        "inherits": f"../{base.name}",
        "name": made.name,
        "title": f"{told['title']}, {lines} lines",
        "operators_per_shift": told["operators_per_shift"] * lines,
        "standard": {
            "cells_per_day": standard["cells_per_day"] * lines,
            "work_orders_per_day": {kind: count * lines for kind, count in standard["work_orders_per_day"].items()},
        },
        "cost_rates": {name: costs[name] * lines for name in _COSTS},
        "areas": [_grown(area, lines) for area in told["areas"]],
    }
    made.mkdir()
    _write(made, grown)
    if lacking := load_site(made).plan.numbers_to_give:
        _write(made, {**grown, NUMBERS: lacking})
    return made


def _write(folder: Path, said: Mapping[str, Any]) -> None:
    (folder / "site.yaml").write_text(yaml.safe_dump(said, sort_keys=False, width=10_000), encoding="utf-8")


def _grown(area: Mapping[str, Any], lines: int) -> dict[str, Any]:
    if len(area["lines"]) != 1:
        raise CellworksError(
            "only a site of one line can be multiplied",
            expected="one line in each area",
            found=f"{len(area['lines'])} in {area['code']}",
            mend="name a site of one line, such as infra/sites/demo",
        )
    units = area["lines"][0]["units"]
    of_lines = [
        {
            "code": f"L{number}",
            "units": [{**unit, "ids": [_of_line(each, number) for each in unit["ids"]]} for unit in units],
        }
        for number in range(1, lines + 1)
    ]
    return {**area, "lines": of_lines}


def _of_line(ids: str, number: int) -> str:
    """Ids of the same machines in the line of that number, such as `stacker_5..8` of `stacker_1..4` in the second."""
    found = _NUMBERED.fullmatch(ids)
    if found is None:
        raise CellworksError(
            "a machine without a number cannot be multiplied", expected="ids such as stacker_1..4", found=ids
        )
    stem, first, last = found[1], found[2], found[3] or found[2]
    count = int(last) - int(first) + 1
    begin = int(first) + (number - 1) * count
    return f"{stem}{begin:0{len(first)}d}..{begin + count - 1}"
