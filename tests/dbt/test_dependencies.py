"""What dbt must know before a night that is not the first, in which a model asks others for their days."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pipelines.lake.home import Home


def test_a_model_depends_on_every_model_whose_days_it_asks_for(parsed: Callable[[Path], Path], tmp_path: Path) -> None:
    manifest = Home(parsed(tmp_path)).dbt_dir / "target" / "manifest.json"
    nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values()
    # The other rules ask the table of rebuilt days, which holds the models' names.
    asking = {each["name"]: each for each in nodes if each["config"].get("days") == "same_and_later_days"}
    assert "golden_parameter_shift" in asking
    unknown = [
        (name, asked)
        for name, node in asking.items()
        for asked in node["config"]["days_of"]
        if not any(known.endswith(f".{asked}") for known in node["depends_on"]["nodes"])
    ]
    assert unknown == []
