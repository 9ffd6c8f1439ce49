"""What `make setup` installs from: exact versions with hashes, no address of any index, every dependency named."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PEER = (ROOT / "tests" / "bench" / "peer" / "requirements.lock").read_text(encoding="utf-8")


def _named(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _locked(lock: str = LOCK) -> dict[str, str]:
    """Each requirement of a lock with its lines."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", "\n".join(x for x in lock.splitlines() if not x.strip().startswith("#")))
    return {_named(block): block for block in blocks if block.strip()}


@pytest.mark.parametrize("lock", [LOCK, PEER], ids=["ours", "peer"])
def test_a_lock_names_no_address(lock: str) -> None:
    assert not re.search(r"://|file:|--index|--extra-index|--find-links|--trusted-host| @ ", lock)


def test_the_peer_is_in_its_own_lock_alone() -> None:
    assert "flaml" in _locked(PEER)
    assert "flaml" not in _locked()
    assert "flaml" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("lock", "least"), [(LOCK, 150), (PEER, 10)], ids=["ours", "peer"])
def test_every_requirement_of_a_lock_is_exact_and_hashed(lock: str, least: int) -> None:
    locked = _locked(lock)
    assert len(locked) > least
    for name, block in locked.items():
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ;]+", block), name
        assert "--hash=sha256:" in block, name


def test_the_lock_holds_every_dependency_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {_named(each) for each in [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]}
    assert wanted <= _locked().keys()


def test_make_alone_lists_the_targets_and_installs_nothing(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    told = subprocess.run(["make", "-C", tmp_path], capture_output=True, text=True, timeout=30, check=True).stdout
    assert {"help", "setup", "demo", "test", "ui", "check"} <= {
        line.split()[0] for line in told.splitlines() if line.strip()
    }
    assert sorted(each.name for each in tmp_path.iterdir()) == ["Makefile", "pyproject.toml", "requirements.lock"]


def test_set_up_hashes_compiles_and_downloads_no_python() -> None:
    told = subprocess.run(
        ["make", "--dry-run", "--always-make", "setup"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert re.search(r"pip sync .*--require-hashes requirements\.lock", told)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "export UV_PYTHON_DOWNLOADS := never" in makefile
    assert "export UV_COMPILE_BYTECODE := 1" in makefile


def test_what_set_up_installed_is_compiled() -> None:
    import dagster

    folder = Path(dagster.__file__).parent
    sources = {each.stem for each in folder.glob("*.py")}
    compiled = {each.name.split(".")[0] for each in (folder / "__pycache__").glob("*.pyc")}
    assert sources <= compiled
