from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.control_plan.site import Site, load_site

DEMO = Path(__file__).parents[3] / "infra" / "sites" / "demo"
Edit = Callable[[list[dict[str, str]]], None]


@pytest.fixture(scope="session")
def site() -> Site:
    return load_site(DEMO)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A site folder of one's own to spoil."""
    folder = tmp_path / "plant"
    folder.mkdir()
    for name in ("site.yaml", "feeds.yaml", "control_plan.csv"):
        shutil.copy(DEMO / name, folder / name)
    return folder


@pytest.fixture
def edit(copy: Path) -> Callable[[Edit], Path]:
    """Change the rows of the copied plan; row i of the list is line i + 2 of the file."""

    def apply(change: Edit) -> Path:
        path = copy / "control_plan.csv"
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        header = list(rows[0])
        change(rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(text.getvalue())
        return copy

    return apply
