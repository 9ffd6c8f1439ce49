"""Small files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Put a text in place of a file's, so that a kill, a full disk or a reader in between never sees a part of it.

    A file that holds the text already is left alone.

    Raises:
        OSError: it can't be written; what was there stays.
    """
    if file.is_file() and file.read_bytes() == text.encode():
        return
    draft = file.with_name(f"{file.name}.part")
    with draft.open("w", encoding="utf-8") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    draft.replace(file)
