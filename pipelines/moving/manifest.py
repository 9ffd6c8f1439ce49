"""The manifest of a backup: what it holds, with a hash of each file and one of the manifest itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.progress import Progress, silent
from pipelines.moving.trees import Folder, hashes

_NAME: Final = "manifest.json"


class Manifest(BaseModel):
    """What a backup holds.

    Attributes:
        format: version of this form.
        environment: stores that it is of, `embedded` or `servers`.
        site: name of the plant.
        taken_at: when, UTC.
        lake_data: where the lake's data lay.
        mlflow_artifacts: where MLflow's artifacts lay.
        versions: of the packages that wrote it.
        rows: rows by `<database>.<table>`.
        files: SHA-256 of each file by its path in the backup.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = Field(default=1, ge=1, le=1)
    environment: str
    site: str
    taken_at: str
    lake_data: str
    mlflow_artifacts: str
    versions: Mapping[str, str]
    rows: Mapping[str, int]
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, whole or not at all; a backup without one did not end."""
    draft = folder / f"{_NAME}.part"
    draft.write_text(
        json.dumps({"sha256": manifest.digest, "backup": manifest.model_dump()}, indent=1), encoding="utf-8"
    )
    draft.replace(folder / _NAME)


def read(folder: Path, progress: Progress = silent) -> Manifest:
    """The manifest of a backup, after each file was read and compared with it.

    Raises:
        CellworksError: there is none, it is damaged, or a file is missing, another, or outside the backup.
    """
    manifest = _parsed(folder)
    there = Folder(folder).sizes()
    for key in manifest.files:
        path = PurePosixPath(key)
        if path.is_absolute() or ".." in path.parts or "\\" in key:
            raise _damaged(folder, "paths inside the backup", f"{key!r}")
    if lost := sorted(manifest.files.keys() - there.keys()):
        raise _damaged(folder, f"{len(manifest.files)} files", f"{len(lost)} are missing, the first: {lost[0]}")
    found = hashes(Folder(folder), manifest.files, progress)
    if other := sorted(key for key, digest in found.items() if digest != manifest.files[key]):
        raise _damaged(folder, f"SHA-256 {manifest.files[other[0]]} of {other[0]}", found[other[0]])
    return manifest


def _parsed(folder: Path) -> Manifest:
    try:
        content = (folder / _NAME).read_bytes()
    except OSError as error:
        raise _damaged(folder, f"a folder with {_NAME}", "none: no backup, or one that did not end") from error
    try:
        told = json.loads(content.decode("utf-8"))
        manifest = Manifest.model_validate(told["backup"])
        digest = told["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise _damaged(folder, f"{_NAME} as it was written", str(error).splitlines()[0]) from error
    if digest != manifest.digest:
        raise _damaged(folder, f"{_NAME} as it was written", "its own hash is another")
    return manifest


def _damaged(folder: Path, expected: str, found: str) -> CellworksError:
    return CellworksError(
        "the backup is damaged or not whole",
        expected=expected,
        found=found,
        mend="take an older one; nothing was changed",
        where=str(folder),
    )
