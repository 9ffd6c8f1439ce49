"""The lock says what is installed to the byte."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.security.audit import CANARY, entries, unpinned, vulnerabilities

LOCK = (Path(__file__).parents[2] / "requirements.lock").read_text(encoding="utf-8")


def test_each_requirement_of_the_lock_is_one_version_with_hashes() -> None:
    assert len(entries(LOCK)) > 100
    assert unpinned(LOCK) == []
    assert unpinned("a==1 \\\n    --hash=sha256:00\nb>=1 \\\n    --hash=sha256:00\nc==1\n") == ["b>=1", "c==1"]


NONE = """echo '{"dependencies": [{"name": "jinja2", "vulns": []}]}'"""
SOME = """echo '{"dependencies": [{"name": "jinja2", "vulns": [{"id": "PYSEC-2019-217"}]}]}'; exit 1"""
LEFT_OUT = """echo '{"dependencies": [{"name": "x", "skip_reason": "not found"}]}'"""


@pytest.mark.parametrize(
    ("answers", "verdict", "said"),
    [
        ("echo 'No module named pip_audit' >&2; exit 1", "not_checked", "No module named pip_audit"),
        (NONE, "not_checked", f"none is known to it of {CANARY}"),
        (f'case "$*" in *--no-deps*) {SOME};; *) {NONE};; esac', "passed", "none"),
        (f'case "$*" in *--no-deps*) {SOME};; *) {LEFT_OUT};; esac', "not_checked", "left out 1, the first: not found"),
        (SOME, "failed", "jinja2 (PYSEC-2019-217)"),
    ],
    ids=["no pip-audit", "an index without advisories", "clean", "one left out", "vulnerable"],
)
def test_no_advisories_is_no_clean_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str, verdict: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{answers}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    found = vulnerabilities(tmp_path / "requirements.lock")
    assert (found.verdict, said in found.found) == (verdict, True), found.found
    assert str(found).startswith("audit: " + verdict.replace("_", " ").upper())
