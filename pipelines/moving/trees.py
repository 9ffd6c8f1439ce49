"""Trees of files, in a folder or below a prefix of an object store: list, copy, hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.objects import client, errors
from pipelines.lake.progress import Progress, silent
from pipelines.lake.stores import ObjectStore

_WORKERS = 8
_CHUNK = 1 << 20
_WAITS_S = (1.0, 4.0)
_Result = TypeVar("_Result")


class Tree(Protocol):
    """Files by key: a path parted by slashes, relative to the tree's root."""

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""

    def open(self, key: str) -> IO[bytes]:
        """The file, to be read once from its beginning."""

    def put(self, key: str, content: IO[bytes]) -> None:
        """Write a file whole or not at all."""

    def delete(self, key: str) -> None:
        """Remove a file."""


@dataclass(frozen=True)
class Folder:
    """A folder of this machine; it need not be there yet."""

    root: Path

    def sizes(self) -> dict[str, int]:
        """Bytes of each file.

        Raises:
            CellworksError: a link lies among them. The tree's own root may be one.
        """
        found = list(self.root.rglob("*"))
        if link := next(filter(Path.is_symlink, found), None):
            raise CellworksError(
                "a link lies among the files of a store",
                expected="files and folders; only the whole folder of a store may be a link",
                found=f"a link to {link.readlink()}",
                mend="put what it leads to in its place",
                where=str(link),
            )
        return {each.relative_to(self.root).as_posix(): each.stat().st_size for each in found if each.is_file()}

    def open(self, key: str) -> IO[bytes]:
        """The file, to be read once from its beginning."""
        return (self.root / key).open("rb")

    def put(self, key: str, content: IO[bytes]) -> None:
        """Write a file whole or not at all; it outlives a power cut from then on."""
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{target.name}.part")
        with draft.open("wb") as written:
            shutil.copyfileobj(content, written, _CHUNK)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(target)

    def delete(self, key: str) -> None:
        """Remove a file."""
        (self.root / key).unlink()


@dataclass(frozen=True)
class Bucket:
    """What lies below a prefix, `s3://bucket/prefix`, of an object store."""

    objects: ObjectStore
    url: str

    def sizes(self) -> dict[str, int]:
        """Bytes of each object."""
        bucket, prefix = self._place("")

        def listed() -> list[dict[str, Any]]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [each for page in pages for each in page.get("Contents", [])]

        return {each["Key"].removeprefix(prefix): int(each["Size"]) for each in _asked(self.url, listed)}

    def open(self, key: str) -> IO[bytes]:
        """The object, to be read once from its beginning."""
        bucket, name = self._place(key)
        body: IO[bytes] = self._client.get_object(Bucket=bucket, Key=name)["Body"]
        return body

    def put(self, key: str, content: IO[bytes]) -> None:
        """Write an object; a store shows it only when it is whole."""
        bucket, name = self._place(key)
        self._client.upload_fileobj(content, bucket, name)

    def delete(self, key: str) -> None:
        """Remove an object."""
        bucket, name = self._place(key)
        _asked(key, lambda: self._client.delete_object(Bucket=bucket, Key=name))

    @property
    def _client(self) -> Any:
        return client(self.objects)

    def _place(self, key: str) -> tuple[str, str]:
        parts = urlsplit(f"{self.url.rstrip('/')}/{key}")
        return parts.netloc, parts.path.lstrip("/")


def tree_of(objects: ObjectStore | None, place: str) -> Tree:
    """The tree at a folder, or at an `s3://` address when there is an object store."""
    return Folder(Path(place)) if objects is None else Bucket(objects, place)


def hashes(tree: Tree, keys: Iterable[str], progress: Progress = silent) -> dict[str, str]:
    """SHA-256 of files, read back from where they lie.

    Args:
        tree: where they lie.
        keys: which.
        progress: told of each file.

    Raises:
        CellworksError: an object store fails.
        OSError: one can't be read.
    """
    return _for_each(keys, lambda key: _digest(tree, key), "files read back", progress)


def copy(source: Tree, target: Tree, keys: Iterable[str], progress: Progress = silent) -> None:
    """Copy files from one tree to the other.

    Raises:
        CellworksError: an object store fails.
        OSError: one can't be read or written.
    """
    _for_each(keys, lambda key: _copy_one(source, target, key), "files copied", progress)


def bring(source: Tree, target: Tree, progress: Progress = silent) -> dict[str, str]:
    """Make the target hold the files of the source and no other, and read both back.

    What is there already with the same bytes is not sent again, so an attempt that was killed goes on.

    Args:
        source: what is copied.
        target: where to.
        progress: told of each file: when it is copied, read at the source, and read back.

    Returns:
        SHA-256 by key.

    Raises:
        CellworksError: a file reads back otherwise after it was written twice, or an object store fails.
        OSError: a file can't be read or written.
    """
    wanted, there = source.sizes(), target.sizes()
    for key in there.keys() - wanted.keys():
        target.delete(key)
    copy(source, target, [key for key, size in wanted.items() if there.get(key) != size], progress)
    expected = hashes(source, wanted, progress)
    differing = _differing(expected, hashes(target, wanted, progress))
    copy(source, target, differing)  # of an older attempt, since changed in the same size
    refuse_differing(expected, hashes(target, differing))
    return expected


def refuse_differing(expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuse files that read back otherwise than they were written.

    Raises:
        CellworksError: one does; names it.
    """
    for key in sorted(_differing(expected, found)):
        raise CellworksError(
            "a file reads back otherwise than it was written",
            expected=f"SHA-256 {expected[key]}",
            found=found[key],
            mend="look at the disk or the object store, and run the command again",
            where=key,
        )


def _differing(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return [key for key, digest in found.items() if expected[key] != digest]


def _asked(where: str, ask: Callable[[], _Result]) -> _Result:
    """Ask an object store, and again where it fails: its client does not begin a body anew that broke off half way.

    Raises:
        CellworksError: it failed each time.
    """
    failed = 0
    while True:
        try:
            return ask()
        except Exception as error:
            if not isinstance(error, errors()):
                raise
            if failed == len(_WAITS_S):
                raise CellworksError(
                    "the object store does not do what it is asked",
                    expected="an answer",
                    found=str(error).partition("\n")[0],
                    mend="look at the store, and run the command again",
                    where=where,
                ) from error
        time.sleep(_WAITS_S[failed])
        failed += 1


def _copy_one(source: Tree, target: Tree, key: str) -> None:
    with _opened(source, key) as content:
        target.put(key, content)


def _opened(tree: Tree, key: str) -> closing[IO[bytes]]:
    """A file, closed at the end; `with` alone would enter what lies below a body, which takes half of one for whole."""
    return closing(tree.open(key))


def _digest(tree: Tree, key: str) -> str:
    digest = hashlib.sha256()
    with _opened(tree, key) as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _for_each(keys: Iterable[str], work: Callable[[str], _Result], what: str, progress: Progress) -> dict[str, _Result]:
    ordered = sorted(keys)
    found: dict[str, _Result] = {}
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = pool.map(lambda key: _asked(key, lambda: work(key)), ordered)
        for done, (key, result) in enumerate(zip(ordered, results, strict=True), start=1):
            found[key] = result
            progress(what, done, len(ordered))
    return found
