"""The lock says what is installed to the byte."""

from __future__ import annotations

from pathlib import Path

from tests.security.audit import entries, unpinned

LOCK = (Path(__file__).parents[2] / "requirements.lock").read_text(encoding="utf-8")


def test_each_requirement_of_the_lock_is_one_version_with_hashes() -> None:
    assert len(entries(LOCK)) > 100
    assert unpinned(LOCK) == []
    assert unpinned("a==1 \\\n    --hash=sha256:00\nb>=1 \\\n    --hash=sha256:00\nc==1\n") == ["b>=1", "c==1"]
