"""`make faults`: every test marked `faults`, a closing line `N passed, N failed`, and the figures as JSON.

python -m tests.faults FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest


class Figures:
    """Collects what each test came to, and what it recorded as `figures`."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note outcome, seconds and figures of a test; a failing set-up or tear-down fails it."""
        row = self.rows.setdefault(report.nodeid, {"test": report.nodeid, "outcome": "passed", "seconds": 0.0})
        row["seconds"] = round(row["seconds"] + report.duration, 2)
        if report.outcome != "passed":
            row["outcome"] = report.outcome
        if report.when == "call":
            row |= dict(report.user_properties).get("figures", {})

    def count(self, outcome: str) -> int:
        """How many tests ended so."""
        return sum(row["outcome"] == outcome for row in self.rows.values())


def main(file: Path) -> int:
    """Run the group; pytest's exit code."""
    figures = Figures()
    code = pytest.main(["-m", "faults", "-n", "0", str(Path(__file__).parents[1])], plugins=[figures])
    counts = {outcome: figures.count(outcome) for outcome in ("passed", "failed", "skipped")}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**counts, "faults": list(figures.rows.values())}, indent=2) + "\n", encoding="utf-8")
    print(f"figures in {file}; {counts['skipped']} skipped")
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
