"""The note of the audit's last row outside the lake: a file of the home, or an object beside the lake's data.

Who can write the catalogue could cut the end off the audit, or write it anew; unless they can write this note as well,
that is found.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pipelines.access.chain import Head
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.stores import ObjectStore

NAME: Final = "audit_head.json"
_LONGEST = 1000


def place(home: Home) -> str:
    """Where the note lies."""
    objects = home.stores.objects
    return str(home.root / NAME) if objects is None else f"{objects.url}/{NAME}"


def read(home: Home) -> Head | None:
    """The note; None when there is none.

    Raises:
        CellworksError: it is damaged.
        OSError: it can't be read.
    """
    objects = home.stores.objects
    text = _read_file(home) if objects is None else _read_object(objects)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return Head(int(found["number"]), str(found["hash"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CellworksError(
            "the note of the audit's last row is damaged",
            expected='{"number": 12, "hash": "..."}',
            found=repr(text[:80]),
            mend="put it back from a copy, or take it away, and an admin goes on with `cellworks audit accept`",
            where=place(home),
        ) from error


def write(home: Home, head: Head) -> None:
    """Note a last row in place of the one before.

    Raises:
        OSError: it can't be written.
    """
    text = json.dumps({"number": head.number, "hash": head.hash})
    objects = home.stores.objects
    if objects is not None:
        _write_object(objects, text)
        return
    draft = home.root / f"{NAME}.draft"
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(home.root / NAME)


def save(home: Home, folder: Path) -> None:
    """Copy the note of an object store into a folder; one of the home goes along with the home's files.

    Raises:
        OSError: it can't be read or written.
    """
    if home.stores.objects is not None and (text := _read_object(home.stores.objects)) is not None:
        (folder / NAME).write_text(text, encoding="utf-8")


def bring(home: Home, folder: Path) -> None:
    """Put the note that lies in a folder into the object store, where its lake was brought.

    Raises:
        OSError: it can't be read or written.
    """
    if home.stores.objects is not None and (folder / NAME).is_file():
        _write_object(home.stores.objects, (folder / NAME).read_text(encoding="utf-8"))


def _read_file(home: Home) -> str | None:
    try:
        with (home.root / NAME).open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST)
    except FileNotFoundError:
        return None


def _read_object(objects: ObjectStore) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    from pipelines.lake.objects import client

    bucket, key = _object(objects)
    try:
        body: bytes = client(objects).get_object(Bucket=bucket, Key=key)["Body"].read(_LONGEST)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
            return None
        raise OSError(f"{objects.url}/{NAME} can't be read: {error}") from error
    except BotoCoreError as error:
        raise OSError(f"{objects.url}/{NAME} can't be read: {error}") from error
    return body.decode("utf-8", errors="replace")


def _write_object(objects: ObjectStore, text: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    from pipelines.lake.objects import client

    bucket, key = _object(objects)
    try:
        client(objects).put_object(Bucket=bucket, Key=key, Body=text.encode())
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"{objects.url}/{NAME} can't be written: {error}") from error


def _object(objects: ObjectStore) -> tuple[str, str]:
    parts = urlsplit(objects.url)
    return parts.netloc, f"{parts.path.lstrip('/')}/{NAME}".lstrip("/")
