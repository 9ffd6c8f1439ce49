"""The key that verdicts and lists of files are sealed with, and that machines which share servers have the same.

It lies in the home (`registry.key`) or comes from the environment, for machines whose homes are not one folder. Servers
remember which key it is, not the key: the first machine says so, and another key is refused before anything is sealed
with it or called forged by it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

KEY_VARIABLE: Final = "CELLWORKS_REGISTRY_KEY"
KEY_BYTES: Final = 32
"""Length of a key."""
_NOTE = """
SELECT pg_advisory_xact_lock(hashtext('cellworks.registry_key'));
CREATE SCHEMA IF NOT EXISTS cellworks;
CREATE TABLE IF NOT EXISTS cellworks.registry_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), key_id text NOT NULL, host text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now())
"""
"""One transaction, in which machines take turns: PostgreSQL's IF NOT EXISTS is no lock."""
_confirmed: set[tuple[str, bytes]] = set()


@dataclass(frozen=True)
class Noted:
    """Which key the servers know.

    Attributes:
        key_id: sixteen hexadecimal digits that follow from the key and tell nothing of it.
        host: the machine that noted it.
        at: when, with its time zone.
    """

    key_id: str
    host: str
    at: str


def registry_key(home: Home) -> bytes:
    """The instance's key, made on first use, readable by its owner only.

    Raises:
        CellworksError: variable or file hold no key, the servers know another one, or they know one and this machine
            none.
    """
    url, given = home.stores.lake_url, given_key(home)
    if url is None:
        return given or _made(home)
    if given is not None and (url, given) in _confirmed:
        return given
    noted = noted_key(url)
    if given is None:
        if noted is not None:
            raise another_key(home, noted, None)
        given = _made(home)
    noted = noted or _note(url, id_of(given))
    if noted.key_id != id_of(given):
        raise another_key(home, noted, given)
    _confirmed.add((url, given))
    return given


def given_key(home: Home) -> bytes | None:
    """The key of the environment, else that of the home; None where there is none. Makes none.

    Raises:
        CellworksError: the variable or the file holds no key.
    """
    told = os.environ.get(KEY_VARIABLE, "").strip()
    if not told:
        return _read_file(key_file(home)) if key_file(home).is_file() else None
    try:
        key = bytes.fromhex(told)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise CellworksError(
            f"{KEY_VARIABLE} holds no key",
            expected=f"{2 * KEY_BYTES} hexadecimal digits",
            found=f"{len(told)} characters",  # and not which
            mend="set it to what `xxd -p -c 64 registry.key` prints of the key that the models were trained under",
            where=KEY_VARIABLE,
        )
    return key


def key_file(home: Home) -> Path:
    """Where a home keeps its key."""
    return home.root / "registry.key"


def id_of(key: bytes) -> str:
    """What tells one key from another."""
    return hmac.new(key, b"cellworks registry key", hashlib.sha256).hexdigest()[:16]


def noted_key(url: str) -> Noted | None:
    """Which key the servers know; None before the first was used.

    Args:
        url: address of the lake's database.

    Raises:
        CellworksError: PostgreSQL does not answer.
    """
    from pipelines.lake.servers import connect

    with closing(connect(url)) as con, con.cursor() as cursor:
        cursor.execute("SELECT to_regclass('cellworks.registry_key') IS NOT NULL")
        return _read(cursor) if cursor.fetchone()[0] else None


def another_key(home: Home, noted: Noted, given: bytes | None) -> CellworksError:
    """What a machine is told whose key is not that of the servers.

    Args:
        home: this machine's.
        noted: the key that the servers know.
        given: this machine's key; None where it has none.
    """
    place = KEY_VARIABLE if os.environ.get(KEY_VARIABLE, "").strip() else str(key_file(home))
    return CellworksError(
        "this machine has not the registry key of the servers, with which verdicts and models' files are sealed",
        expected=f"key {noted.key_id}, which {noted.host} noted at {noted.at}",
        found="no key" if given is None else f"key {id_of(given)}",
        mend=f"copy registry.key of the home on {noted.host} to {key_file(home)} (mode 0600), or set {KEY_VARIABLE} to "
        "it; nothing was changed. docs/how-to/run-on-servers.md says how, and what to do when it is lost",
        where=place,
    )


def _note(url: str, key_id: str) -> Noted:
    """Note the key; where another machine was first, what that one noted."""
    from pipelines.lake.servers import connect

    with closing(connect(url)) as con, con.cursor() as cursor:
        cursor.execute(_NOTE)
        cursor.execute(
            "INSERT INTO cellworks.registry_key (key_id, host) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [key_id, socket.gethostname()],
        )
        noted = _read(cursor)
    if noted is None:
        raise RuntimeError("the note of the registry's key was taken away in the moment in which it was made")
    return noted


def _read(cursor: Any) -> Noted | None:
    cursor.execute(
        "SELECT key_id, host, to_char(noted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC' "
        "FROM cellworks.registry_key"
    )
    row = cursor.fetchone()
    return None if row is None else Noted(*map(str, row))


def _read_file(file: Path) -> bytes:
    """The file's key. One of another length, as an empty one, would be a key that anybody can guess."""
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise CellworksError(
            f"{file} holds no key",
            expected=f"{KEY_BYTES} bytes",
            found=f"{len(key)} bytes",
            mend="put it back from a backup, or copy that of another machine of these servers; where no model was "
            "trained yet, delete it, and a new one is made",
            where=str(file),
        )
    return key


def _made(home: Home) -> bytes:
    """A new key, unless another process was first: a hard link fails then, so there is only ever one.

    It is on the disk before it has its name, and the name before anything is sealed with it.
    """
    file = key_file(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    # A draft of its own for each thread too: who shared one would empty the key that another has linked already.
    descriptor, draft = tempfile.mkstemp(prefix="registry.key-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(os.urandom(KEY_BYTES))
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        Path(draft).unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return _read_file(file)
