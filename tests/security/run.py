"""`make security`: the full profile of the fuzzers and the audit of what is installed; figures as JSON, then one line.

Each file of tests runs in a process of its own: an input that ends it fails that file, is told, and the others go on.

Usage: python tests/security/run.py FIGURES.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
os.environ["CELLWORKS_FUZZ"] = "full"
sys.path.insert(0, str(ROOT))
LEAST_CASES = 100_000
_LONGEST_S = 3600


class Outcomes:
    """Counts tests by how they ended."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test passes once its call did; whatever fails in any phase fails it."""
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed += 1


def run_part(file: Path, target: Path) -> None:
    """Run one file of tests in this process and write what came of it."""
    import pytest

    outcomes = Outcomes()
    # An example that fails is printed whole; a warning that it is long would hide why it failed.
    options = ["-p", "no:cacheprovider", "-n", "0", "-W", "ignore:Generating overly large repr"]
    code = pytest.main([str(file), *options], plugins=[outcomes])
    from tests.security.fuzzing import LEDGER  # not before: pytest wants to see hypothesis imported itself

    if code and not outcomes.failed:
        outcomes.failed.append(f"{file.name}: pytest ended with {code}")
    told = {"passed": outcomes.passed, "failed": outcomes.failed, "doors": LEDGER.told()}
    target.write_text(json.dumps(told), encoding="utf-8")


def part(file: Path) -> dict[str, Any]:
    """Run one file of tests in a process of its own; a process that does not come to its end is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "part.json"
        try:
            code = subprocess.run(
                [sys.executable, __file__, str(target), str(file)], cwd=ROOT, timeout=_LONGEST_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return {"passed": 0, "failed": [f"{file.name}: did not end within {_LONGEST_S} s"], "doors": []}
        if not target.is_file():
            return {"passed": 0, "failed": [f"{file.name}: its process was ended, exit code {code}"], "doors": []}
        found: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        return found


def main(target: Path) -> int:
    """Run all, write the figures, print the closing line; the exit code is 1 where anything failed."""
    from tests.security.audit import audit

    begun = time.perf_counter()
    parts = [part(file) for file in sorted(Path(__file__).parent.glob("test_*.py"))]
    passed = sum(each["passed"] for each in parts)
    failed = [name for each in parts for name in each["failed"]]
    doors = [door for each in parts for door in each["doors"]]
    cases = sum(door["cases"] for door in doors)
    if cases < LEAST_CASES:
        failed.append(f"{cases} cases, fewer than {LEAST_CASES}")
    findings = audit(ROOT)
    for finding in findings:
        print(finding)
        if finding.verdict == "failed":
            failed.append(finding.what)
        elif finding.verdict == "passed":
            passed += 1
    figures = {
        "passed": passed,
        "failed": failed,
        "not_checked": [finding.what for finding in findings if finding.verdict == "not_checked"],
        "seconds": round(time.perf_counter() - begun, 1),
        "cases": cases,
        "doors": doors,
        "audit": [vars(finding) for finding in findings],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{cases} cases in {figures['seconds']} s; figures in {target}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) > 2:
        run_part(Path(sys.argv[2]), Path(sys.argv[1]))
    else:
        sys.exit(main(Path(sys.argv[1])))
