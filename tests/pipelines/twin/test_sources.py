"""Every number of the twin is configuration that says where it comes from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.twin.graph import load_graph


@pytest.mark.parametrize(
    ("part", "entry", "wrong"),
    [
        ("parameters", "energy.fixed_ratio", ""),
        ("health_signs", "alarm_count_h", ""),
        ("nodes", "lfp_bet_m2_g", "source: X"),
        ("scrap_drivers", "weld", ""),
        ("scrap_drivers", "leak", "source: S"),
        ("scenarios", "warm_grading", ""),
        ("scenarios", "baseline", "source: a guess"),
    ],
)
def test_numbers_without_a_source_are_refused_by_place(
    tmp_path: Path, site: Site, part: str, entry: str, wrong: str
) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(site.folder, folder)
    before, begin, after = (folder / "twin.yaml").read_text(encoding="utf-8").partition(f"\n{part}:")
    name = entry.rpartition(".")[2]
    lines = after.split("\n")
    (at,) = (no for no, line in enumerate(lines) if line.lstrip().startswith(f"{name}: {{"))
    assert ", source: " in lines[at]
    kept, _, comment = lines[at].partition(", source: E")
    lines[at] = f"{kept}{wrong and ', ' + wrong}{comment}"
    (folder / "twin.yaml").write_text(before + begin + "\n".join(lines), encoding="utf-8")
    with pytest.raises(CellworksError, match="source") as refused:
        load_graph(load_site(folder))
    assert entry in str(refused.value)
    assert "twin.yaml" in str(refused.value)
