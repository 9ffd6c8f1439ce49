"""Seals: a verdict or an override counts only when this instance wrote it.

Anyone can edit tags and aliases in the MLflow pages; the seal is an HMAC over model, version, verdict and the
bundle's content with the key of the instance, so an edited tag or a swapped booster is noticed.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from models.registry.key import registry_key
from pipelines.lake.home import Home


def bundle_digest(folder: Path) -> str:
    """SHA-256 over names and content of a bundle's files."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def seal(home: Home, *parts: str) -> str:
    """The seal of some texts."""
    return hmac.new(registry_key(home), "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def is_sealed(home: Home, given: str, *parts: str) -> bool:
    """Whether a seal is this instance's for these texts."""
    # As bytes: of a tag that holds anything but ASCII, texts can't be compared.
    return hmac.compare_digest(given.encode(errors="replace"), seal(home, *parts).encode())
