"""Locks of instances on servers: PostgreSQL's advisory locks, which end with the connection that holds them.

They hold across machines. A connection pooler between must keep sessions, as advisory locks belong to one.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from datetime import UTC, datetime
from typing import Any, Final

import psycopg2

from pipelines.control_plan.errors import CellworksError
from pipelines.lake.lock import AWAY_S, WHOLE, LockLostError
from pipelines.lake.servers import connect

_GLANCE_S: Final = 0.1
_TURN: Final = "turn"
_NOTE = re.compile(r"/\* cellworks (?P<since>\S+ \S+) (?P<host>\S+) (?P<pid>\d+) (?P<why>.*) \*/")


class ServerLock:
    """The lock of a lake on PostgreSQL: the whole alone, or the whole shared and an area alone.

    Who wants the whole takes the turn first, which every other passes through for a moment: so he waits for those at
    work, and not for those that come after him.

    Args:
        url: address of the lake's database.
        name: what is locked; locks of different names do not meet.
    """

    def __init__(self, url: str, name: str = "writer") -> None:
        self._url, self._name = url, name
        self._con: Any = None
        self._note = ""

    def acquire(self, timeout: float, why: str, area: str = WHOLE) -> bool:
        """Whether the lock was taken within `timeout` seconds; a server that is away is waited for besides.

        Raises:
            CellworksError: the server does not answer.
        """
        con = _connect_patiently(self._url, why)
        try:
            if not self._take(con, time.monotonic() + timeout, area):
                con.close()
                return False
            self._note = _note_of(why)
            _run(con, self._note)
        except BaseException:
            con.close()
            raise
        self._con = con
        return True

    def _take(self, con: Any, until: float, area: str) -> bool:
        turn, whole = _key(self._name, _TURN), _key(self._name, WHOLE)
        if area == WHOLE:
            is_taken = _wait(con, turn, until) and _wait(con, whole, until)
        else:
            is_taken = _wait(con, turn, until, shared=True) and _wait(con, whole, until, shared=True)
        if is_taken:
            _run(con, f"SELECT pg_advisory_unlock{'' if area == WHOLE else '_shared'}({turn})")
        return is_taken and (area == WHOLE or _wait(con, _key(self._name, area), until))

    def require_held(self) -> None:
        """Refuse to go on without the lock.

        Raises:
            LockLostError: its connection has ended.
        """
        try:
            _run(self._con, self._note)
        except psycopg2.Error as error:
            raise LockLostError(
                "PostgreSQL has ended the connection that held the lock",
                expected="the lock to the end of the batch",
                found=(str(error).strip() or "no answer").splitlines()[0],
                mend="run again: the batch was taken back",
            ) from error

    def release(self) -> None:
        """Let go; harmless when the server has ended the connection and with it the lock."""
        con, self._con = self._con, None
        if con is not None:
            con.close()

    def holder(self, area: str = WHOLE) -> dict[str, str]:
        """Who holds what a writer of `area` waits for: `pid`, `host`, `why`, `since` (UTC); empty when nobody does."""
        whole, own = _key(self._name, WHOLE), _key(self._name, area)
        con = connect(self._url)
        try:
            with con.cursor() as cursor:
                cursor.execute(
                    "SELECT a.query FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                    "WHERE l.locktype = 'advisory' AND l.granted "
                    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                    "AND ((l.classid::bigint << 32) | l.objid::bigint = %(own)s OR (l.mode = 'ExclusiveLock' "
                    "AND (l.classid::bigint << 32) | l.objid::bigint = %(whole)s)) ORDER BY a.backend_start",
                    {"own": own, "whole": whole},
                )
                notes = [_NOTE.search(query or "") for (query,) in cursor.fetchall()]
        finally:
            con.close()
        return next((note.groupdict() for note in notes if note is not None), {})


def _connect_patiently(url: str, why: str) -> Any:
    until = time.monotonic() + AWAY_S
    while True:
        try:
            return connect(url, f"cellworks {why}")
        except CellworksError as error:
            # Asked anew only where nobody listens or the server is not ready; a refusal stays one.
            if not _is_away(error.__cause__) or time.monotonic() >= until:
                raise
        time.sleep(1.0)


def _is_away(error: BaseException | None) -> bool:
    signs = ("could not connect", "connection refused", "no such file", "the database system is", "timeout", "closed")
    return any(sign in str(error).lower() for sign in signs)


def _wait(con: Any, key: int, until: float, *, shared: bool = False) -> bool:
    """Whether a lock was granted before a moment; asked at least once, and Ctrl-C is heard between."""
    statement = f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}({key})"
    while not _run(con, statement):
        if time.monotonic() >= until:
            return False
        time.sleep(_GLANCE_S)
    return True


def _run(con: Any, statement: str) -> bool:
    with con.cursor() as cursor:
        cursor.execute(statement)
        return bool(cursor.fetchone()[0])


def _note_of(why: str) -> str:
    """A statement that does nothing and tells, in the server's list of activities, who is at work."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    host = re.sub(r"[^\w.-]", "-", socket.gethostname()) or "unknown"
    told = re.sub(r"[^\w .,:/+-]", " ", why)
    return f"SELECT 1 /* cellworks {since} {host} {os.getpid()} {told} */"


def _key(name: str, area: str) -> int:
    """Below 2^62, so that the two halves that pg_locks shows make it up again."""
    return int.from_bytes(hashlib.sha256(f"cellworks {name} {area}".encode()).digest()[:8], "big") >> 2
