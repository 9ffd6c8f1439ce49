"""Data Docs: a page per table that shows what holds and what does not, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.control_plan.site import Site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def docs(empty_home: Home) -> Path:
    """What the command wrote, by the path that it named; one good and one bad row are in the lake."""
    with writer(empty_home, why="one good and one bad row") as con:
        con.execute(
            "INSERT INTO lake.raw.ems__weather (outdoor_temp_c, event_at, known_at, production_day) "
            "VALUES (20, '2026-09-01', '2026-09-01', '2026-09-01'), (75, '2026-09-02', '2026-09-02', '2026-09-02')"
        )
    run = subprocess.run(
        [sys.executable, "-c", "from orchestration.cli.main import main; main()", "data-docs"],
        env={**os.environ, "CELLWORKS_HOME": str(empty_home.root)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    return Path(run.stdout.strip())


def test_every_table_has_a_page_and_none_loads_anything_remote(docs: Path, site: Site) -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in docs.parent.glob("*.html")}
    assert {f"raw.{feed}.html" for feed in site.feeds} <= set(pages)
    for name, page in pages.items():
        links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')>\s]+)""", page)
        assert [link for link in links if link not in pages] == [], name
        assert "<script" not in page


def test_a_failed_expectation_is_shown_with_what_was_found(docs: Path) -> None:
    index, page = docs.read_text(encoding="utf-8"), (docs.parent / "raw.ems__weather.html").read_text(encoding="utf-8")
    assert re.search(r'<tr class="fail">.{0,80}<a href="raw.ems__weather.html">', index)
    assert "1 unexpected values found" in page
    assert "75.0" in page
