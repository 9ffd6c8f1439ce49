"""What a run stands on: code revision, lock file, requirements."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from pipelines.control_plan.errors import CellworksError

_PROJECT = Path(__file__).resolve().parents[2]
_LOCK = _PROJECT / "requirements.lock"
_NEEDED = ("mlflow", "numpy", "pandas", "pyarrow")
_LIBRARIES = {"lightgbm": ("lightgbm",), "xgboost": ("xgboost", "scipy")}


@cache
def code_revision() -> str:
    """Git revision with `+changes` when the tree differs; the package's version outside a repository.

    Raises:
        CellworksError: git does not answer.
    """
    git = shutil.which("git")
    if git is None or not (_PROJECT / ".git").exists():
        return f"cellworks {metadata.version('cellworks')}"

    def run(*arguments: str) -> str:
        # The code may be root's and the process the service's: whoever owns what runs here is trusted to that extent.
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            [git, "-c", f"safe.directory={_PROJECT}", "-C", str(_PROJECT), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        if done.returncode:
            raise CellworksError(
                "the revision of the code can't be read, which every version is to name",
                expected=f"an answer of git about {_PROJECT}",
                found=done.stderr.strip()[:300],
                mend="mend the clone, or take its .git away: then the release's version is named",
            )
        return done.stdout.strip()

    changed = run("status", "--porcelain", "--untracked-files=no")
    return run("rev-parse", "HEAD") + ("+changes" if changed else "")


@cache
def lock_hash() -> str:
    """SHA-256 of the lock file; empty when the package is installed without it."""
    return hashlib.sha256(_LOCK.read_bytes()).hexdigest() if _LOCK.is_file() else ""


@cache
def _locked() -> set[tuple[str, str]]:
    """Packages and versions of the lock file; one package may have a version per Python."""
    if not _LOCK.is_file():
        return set()
    text = _LOCK.read_text(encoding="utf-8")
    return set(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))


def _version(name: str) -> str:
    """The installed version, which the lock must name.

    Raises:
        CellworksError: the environment is not the locked one.
    """
    installed = metadata.version(name)
    wanted = sorted(version for package, version in _locked() if package == name)
    if wanted and installed not in wanted:
        raise CellworksError(
            f"{name} is installed in another version than the lock file names",
            expected=", ".join(wanted),
            found=installed,
            mend="run `make setup`",
        )
    return installed


@cache
def pip_requirements(*libraries: str) -> list[str]:
    """What a model of these libraries needs, with the lock's versions; inferring them would cost 2 s a model."""
    names = [*_NEEDED, *(name for library in libraries for name in _LIBRARIES.get(library, ()))]
    return [f"{name}=={_version(name)}" for name in dict.fromkeys(names)]
