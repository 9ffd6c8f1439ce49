"""What each file of a logged model was: size and SHA-256, compared before anything of it is loaded.

The readers of XGBoost and LightGBM end the whole process on some damaged files, so they are only handed files that are
as they were written. The list is a tag of the version, in the registry's database and not beside the files, under the
seal of the instance. A second list lies in the bundle (`files.json`), for those who load the model with MLflow alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.registry.signing import is_sealed, seal
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

FILES: Final = "model_files"
FILES_SEAL: Final = "model_files_seal"
BUNDLE: Final = Path("artifacts") / "bundle"
OWN_LIST: Final = "files.json"
_BYTECODE: Final = "__pycache__"
"""Folders that Python leaves beside a source that MLflow ran; nothing here reads them."""


class UntrustedFilesError(CellworksError):
    """A model whose files are not, or can't be shown to be, those that were registered."""


@dataclass(frozen=True)
class Content:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.size} bytes with SHA-256 {self.sha256}"


@dataclass(frozen=True)
class Owner:
    """Whose files: registered model, version number and MLflow run."""

    name: str
    number: str
    run_id: str


def contents(folder: Path) -> dict[str, Content]:
    """Every file below a folder, by its path there."""
    return {name: content_of(folder / name) for name in _names(folder)}


def content_of(file: Path) -> Content:
    """Size and SHA-256 of a file."""
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    return Content(file.stat().st_size, sha256)


def as_text(found: Mapping[str, Content]) -> str:
    """A list of files as JSON: path to size and SHA-256."""
    return json.dumps({name: [each.size, each.sha256] for name, each in sorted(found.items())})


def tags_of(home: Home, name: str, run_id: str, folder: Path) -> dict[str, str]:
    """The tags of a new version that say what its files are.

    Args:
        home: the instance whose key seals them.
        name: registered model.
        run_id: its MLflow run.
        folder: the model's folder as it is logged.
    """
    told = as_text(contents(folder))
    return {FILES: told, FILES_SEAL: seal(home, name, run_id, FILES, told)}


def require_listed(home: Home, owner: Owner, tags: Mapping[str, str], folder: Path) -> None:
    """Compare a model's folder with the list of its version.

    Args:
        home: the instance whose key sealed the list.
        owner: whose files.
        tags: the version's tags, `FILES` among them.
        folder: the model's folder.

    Raises:
        UntrustedFilesError: the list is not this instance's, a file is missing or other than registered, or the bundle
            has one more.
    """
    told = tags[FILES]
    if not is_sealed(home, tags.get(FILES_SEAL, ""), owner.name, owner.run_id, FILES, told):
        raise UntrustedFilesError(
            f"the list of files of version {owner.number} of {owner.name} was not written by this instance",
            expected=f"tag {FILES_SEAL}, sealed with {home.root / 'registry.key'}",
            found="a list or a key that was changed",
            mend=f"bring back the key that the version was trained under, or {_mend(owner)}",
        )
    listed = {name: Content(int(size), str(sha256)) for name, (size, sha256) in json.loads(told).items()}
    for name, wanted in listed.items():
        found = _look(folder / name, wanted)
        if found is not None:
            raise _changed(owner, folder / name, name, str(wanted), found)
    for name in _names(folder / BUNDLE):
        inside = (BUNDLE / name).as_posix()
        if inside not in listed:
            raise _changed(owner, folder / inside, inside, "no such file", "a file that was not registered")


def refuse_unlisted(owner: Owner, folder: Path) -> UntrustedFilesError:
    """The refusal of a version that has neither a list nor a verdict that seals its files."""
    return UntrustedFilesError(
        f"nothing says what the files of version {owner.number} of {owner.name} were when it was registered",
        expected=f"its tag {FILES}, or a sealed verdict on the files as they are",
        found="neither: it comes of an earlier release and was not judged, or its files were changed since",
        mend=_mend(owner),
        where=str(folder),
    )


def _changed(owner: Owner, file: Path, name: str, expected: str, found: str) -> UntrustedFilesError:
    return UntrustedFilesError(
        f"{name} of version {owner.number} of {owner.name} is not the file that was registered; it was not loaded",
        expected=expected,
        found=found,
        mend=_mend(owner),
        where=str(file),
    )


def _mend(owner: Owner) -> str:
    return (
        f"take the file back from a backup, go back to the version before with `cellworks rollback {owner.name}`, or "
        f"train anew with `cellworks nightly --only {owner.name.replace('.', '/', 1)}`"
    )


def _look(file: Path, wanted: Content) -> str | None:
    """What is there in place of a listed file; None when it is the one."""
    if not file.is_file():
        return "no file"
    size = file.stat().st_size
    if size != wanted.size:  # a file that has grown without end is not read
        return f"{size} bytes"
    found = content_of(file)
    return None if found == wanted else str(found)


def _names(folder: Path) -> list[str]:
    """Paths of all files below a folder, sorted, less Python's own."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]  # not walked into
        folders[:] = [name for name in folders if name != _BYTECODE]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in (*files, *links)]
    return sorted(found)


def write_own_list(bundle: Path) -> None:
    """Write `files.json` into a bundle that is otherwise complete."""
    (bundle / OWN_LIST).write_text(as_text(contents(bundle)), encoding="utf-8")
