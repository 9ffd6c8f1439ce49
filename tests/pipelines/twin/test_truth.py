"""The truth stays out of the platform's sight: only the twin knows where it lies."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TWIN = ROOT / "pipelines" / "twin"
PACKAGES = ("orchestration", "models", "expectations", "pipelines", "dbt")
# As a path would name it: the folder's name as a whole string or as a part of a longer path.
_NAMED = re.compile(r"""["'/]truth["'/]|truth_dir""")


def test_no_package_but_the_twin_names_the_truth_folder() -> None:
    sources = [path for name in PACKAGES for end in ("py", "sql") for path in (ROOT / name).rglob(f"*.{end}")]
    named = {path.relative_to(ROOT) for path in sources if _NAMED.search(path.read_text(encoding="utf-8"))}
    assert {path for path in named if TWIN not in (ROOT / path).parents} == set()
    assert Path("pipelines/twin/truth.py") in named  # the pattern does find it
