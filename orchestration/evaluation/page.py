"""What the documentation shows of all solutions: `solutions.json` and a picture of each, of its night or drawn here."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.context import ModelContext
from models.registry.client import open_home
from models.solution import SolutionSpec
from orchestration.evaluation import pictures
from orchestration.evaluation.ground import Ground
from pipelines.lake.home import Home

JSON, IMAGES = "solutions.json", Path("images", "solutions")
_LEFT_OUT = {"told", "lines", "gain_by_seed"}
"""Figures that are too long for a page or stand there as a table."""
_CALLED_FOR = ("control_chart", "score", "calibration", "loss_waterfall")
"""Pictures by which a family is judged; where a night drew none of them its first one is taken."""


def write(rows: Iterable[Mapping[str, Any]], specs: Iterable[SolutionSpec], ground: Ground, docs: Path) -> None:
    """Write the JSON that the pages are made of, and copy the pictures beside it; those of an earlier run go.

    Args:
        rows: as `cellworks evaluate --all --json` prints them.
        specs: solutions that there are.
        ground: where they were evaluated.
        docs: folder of the documentation.
    """
    known = {spec.solution: spec for spec in specs}
    folder = docs / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    shown = [
        {**row, "parts": [_part(part, known[part["solution"]], ground, folder) for part in row["parts"]]}
        for row in rows
    ]
    nights = [night for spec in known.values() if (night := ground.evidence(spec).night)]
    about = {
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "plants": len(ground.seeds),
        "last_night_at": max((night["at"] for night in nights), default=None),
    }
    text = json.dumps({**about, "solutions": shown}, indent=1, default=str) + "\n"
    (docs / JSON).write_text(text, encoding="utf-8")


def _part(part: Mapping[str, Any], spec: SolutionSpec, ground: Ground, folder: Path) -> dict[str, Any]:
    figures = {name: value for name, value in part["figures"].items() if name not in _LEFT_OUT}
    file = folder / f"{spec.slug}.png"
    is_drawn = _copied(spec, ground, file) or _drawn_here(spec, ground, file)
    return {
        **part,
        "figures": figures,
        "lines": part["figures"].get("lines", []),
        "question": spec.question,
        "description": spec.description,
        "table": Path(spec.table).name if spec.files else spec.table,  # where a file lies is this machine's
        "action": spec.action.kind,
        "picture": file.name if is_drawn else None,
    }


def _copied(spec: SolutionSpec, ground: Ground, file: Path) -> bool:
    """Copy the picture of a solution's last night or version; whether there is one."""
    if ground.home is None:
        return False
    with tempfile.TemporaryDirectory(prefix="cellworks-") as place:
        drawn = {each.stem: each for each in _drawn(spec, ground, ground.home, place)}
        name = next((each for each in _CALLED_FOR if each in drawn), None)
        found = drawn[name] if name else next(iter(drawn.values()), None)
        if found is not None:
            shutil.copyfile(found, file)
    return found is not None


def _drawn_here(spec: SolutionSpec, ground: Ground, file: Path) -> bool:
    """Draw what a family shows whose night draws nothing; whether there was something to show."""
    night = ground.evidence(spec).night
    if ground.home is None or night is None:
        return False
    return pictures.draw(spec, ModelContext(home=ground.home, site=ground.site, as_of=night["at"]), file)


def _drawn(spec: SolutionSpec, ground: Ground, home: Home, into: str) -> Iterator[Path]:
    """Pictures of a solution; those of a version are brought into a folder."""
    yield from sorted(home.report_dir(spec.slug).glob("*.png"))
    version = ground.evidence(spec).version
    if version is None:
        return
    client = open_home(home)
    for place in ("", "plots"):
        for each in client.list_artifacts(version.run_id, place):
            if each.path.endswith(".png"):
                yield Path(client.download_artifacts(version.run_id, each.path, into))
