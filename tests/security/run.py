"""`make security`: the full profile of the fuzzers and the audit of what is installed; figures as JSON, then one line.

Usage: python tests/security/run.py FIGURES.json
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
os.environ["CELLWORKS_FUZZ"] = "full"
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402 - after the profile

from tests.security.audit import audit  # noqa: E402


class Outcomes:
    """Counts tests by how they ended."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test passes once its call did; whatever fails in any phase fails it."""
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed += 1


def main(target: Path) -> int:
    """Run all, write the figures, print the closing line; the exit code is 1 where anything failed."""
    begun, outcomes = time.perf_counter(), Outcomes()
    code = pytest.main([str(Path(__file__).parent), "-p", "no:cacheprovider", "-n", "0"], plugins=[outcomes])
    if code and not outcomes.failed:
        outcomes.failed.append(f"pytest ended with {code}")
    from tests.security.fuzzing import LEDGER

    findings = audit(ROOT)
    for finding in findings:
        print(f"audit: {finding.verdict}: {finding.what}: {finding.found}")
        if finding.verdict == "failed":
            outcomes.failed.append(finding.what)
        elif finding.verdict == "passed":
            outcomes.passed += 1
    figures = {
        "passed": outcomes.passed,
        "failed": outcomes.failed,
        "seconds": round(time.perf_counter() - begun, 1),
        **LEDGER.told(),
        "audit": [vars(finding) for finding in findings],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{figures['cases']} cases in {figures['seconds']} s; figures in {target}")
    print(f"{outcomes.passed} passed, {len(outcomes.failed)} failed")
    return 1 if outcomes.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
