"""Seals: a verdict or an override counts only when this instance wrote it.

Anyone can edit tags and aliases in the MLflow pages; the seal is an HMAC over model, version, verdict and the
bundle's content with a key that lies in the home, so an edited tag or a swapped booster is noticed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from pipelines.lake.home import Home


def _key(home: Home) -> bytes:
    """The instance's key, made on first use, readable by its owner only."""
    file = home.root / "registry.key"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_bytes(os.urandom(32))
        # A hard link fails when another process was first, so there is only ever one key.
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_bytes()


def bundle_digest(folder: Path) -> str:
    """SHA-256 over names and content of a bundle's files."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def seal(home: Home, *parts: str) -> str:
    """The seal of some texts."""
    return hmac.new(_key(home), "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def is_sealed(home: Home, given: str, *parts: str) -> bool:
    """Whether a seal is this instance's for these texts."""
    # As bytes: of a tag that holds anything but ASCII, texts can't be compared.
    return hmac.compare_digest(given.encode(errors="replace"), seal(home, *parts).encode())
