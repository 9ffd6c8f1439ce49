"""Files of the registry on this machine: where they lie beside it, or a copy in the home of what a store keeps.

A copy is made when its files are first asked for, and serves every later process. `forget_all_but` takes away what the
registry no longer names, so the home holds no more copies than the registry has versions.

What the registry says of a version is not believed: who may make a model there may give it any text as its run, and any
address as its source. Neither leads out of the home or of this instance's store.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlparse

from models.registry.contents import UntrustedFilesError
from models.registry.place import root_uri
from pipelines.lake.home import Home

_FOLDER: Final = "fetched"
_RUN: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
_DRAFT: Final = "draft-"
_DRAFT_S: Final = 86_400.0
"""Nothing is being fetched for so long, so a draft of that age was left by a process that was killed."""


def is_here(location: str) -> bool:
    """Whether an address of artifacts is a folder of this machine."""
    return urlparse(location).scheme in ("", "file")


def folder_of(home: Home, run_id: str, number: str, location: str) -> Path:
    """The folder with a version's model, fetched where it is not here yet.

    Args:
        home: the instance that keeps the copy.
        run_id: the version's training run.
        number: the version's number.
        location: address of the model's artifacts.

    Raises:
        UntrustedFilesError: run or address are none of this instance's; nothing was fetched.
    """
    if is_here(location):
        return Path(unquote(urlparse(location).path))
    copy = _copy(home, run_id, number)
    if not copy.is_dir():
        _require_ours(home, location)
        _fetch(location, copy)
    return copy


def forget(home: Home, run_id: str, number: str) -> None:
    """Take a version's copy away; the next who asks fetches it anew."""
    shutil.rmtree(_copy(home, run_id, number), ignore_errors=True)


def has_copies(home: Home) -> bool:
    """Whether anything was ever fetched to this machine."""
    return (home.root / _FOLDER).is_dir()


def forget_all_but(home: Home, versions: Collection[tuple[str, str]]) -> None:
    """Take away the copies of all versions but these (training run and number), and what killed processes left."""
    kept = {_name(run_id, number) for run_id, number in versions}
    root = home.root / _FOLDER
    for each in root.iterdir() if root.is_dir() else ():
        if each.name.startswith(_DRAFT):
            if _age_s(each) > _DRAFT_S:
                shutil.rmtree(each, ignore_errors=True)
        elif each.name not in kept:
            shutil.rmtree(each, ignore_errors=True)


def text_of(client: Any, run_id: str, name: str) -> str:
    """The text of a run's artifact; nothing of it stays on this machine."""
    with tempfile.TemporaryDirectory(prefix="cellworks-") as place:
        return Path(client.download_artifacts(run_id, name, place)).read_text(encoding="utf-8")


def _copy(home: Home, run_id: str, number: str) -> Path:
    if _RUN.fullmatch(run_id) is None or _NUMBER.fullmatch(number) is None:
        raise UntrustedFilesError(
            "a version in the registry was not made by a training run; its files were not fetched",
            expected="a run of 32 hexadecimal digits, and a number",
            found=f"run {run_id[:80]!r}, version {number[:20]!r}",
            mend="delete the version in MLflow, and find out who made it",
        )
    return home.root / _FOLDER / _name(run_id, number)


def _name(run_id: str, number: str) -> str:
    return f"{run_id}-{number}"


def _require_ours(home: Home, location: str) -> None:
    root = root_uri(home.stores.mlflow_artifacts)
    if not location.startswith(f"{root}/") or ".." in location.split("/"):
        raise UntrustedFilesError(
            "the files of a version in the registry lie outside this instance's store; they were not fetched",
            expected=f"an address below {root}",
            found=location[:200],
            mend="delete the version in MLflow, and find out who made it",
        )


def _fetch(location: str, copy: Path) -> None:
    """Fetch beside the copy and give it its name when it is whole, so that nobody reads half of one."""
    from mlflow.artifacts import download_artifacts

    copy.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=copy.parent))
    try:
        found = Path(download_artifacts(artifact_uri=location, dst_path=str(draft)))
        found.rename(copy)
    except OSError:
        if not copy.is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _age_s(folder: Path) -> float:
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:  # its own process has ended it
        return 0.0
