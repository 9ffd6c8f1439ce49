"""The revision that a run names: of the clone that it runs from, whoever owns it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.registry import provenance
from models.registry.provenance import code_revision
from pipelines.control_plan.errors import CellworksError


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A clone with one commit, which the code is taken to run from."""

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True, timeout=20)

    (tmp_path / "code.py").write_text("a = 1\n", encoding="utf-8")
    git("init", "-q")
    git("add", "code.py")
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "first")
    monkeypatch.setattr(provenance, "_PROJECT", tmp_path)
    code_revision.cache_clear()
    yield tmp_path
    code_revision.cache_clear()


def test_a_clone_that_another_account_owns_names_its_revision(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where root owns the code, so that the service can't change it; git refuses such a clone by itself."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own, for its own tests
    refused = subprocess.run(["git", "-C", clone, "status"], check=False, capture_output=True, text=True, timeout=20)
    assert "dubious ownership" in refused.stderr
    revision = code_revision()
    assert len(revision) == 40
    (clone / "code.py").write_text("a = 2\n", encoding="utf-8")
    code_revision.cache_clear()
    assert code_revision() == f"{revision}+changes"


def test_a_damaged_clone_is_told(clone: Path) -> None:
    (clone / ".git" / "HEAD").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(CellworksError, match="revision of the code can't be read"):
        code_revision()
