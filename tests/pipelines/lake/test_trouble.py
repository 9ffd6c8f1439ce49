"""What DuckDB says of an object store that is away is known as such: asked of a real server that misbehaves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pytest

from pipelines.lake.connection import extension_file
from pipelines.lake.sql import quote_literal
from pipelines.lake.trouble import is_away


@contextmanager
def _answering(answer: bytes) -> Iterator[str]:
    """A server that says the same to each request and hangs up; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    con, _ = listening.accept()
                except OSError:
                    return
                with con:
                    con.recv(65_536)
                    con.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def _fault(endpoint: str, statement: str) -> duckdb.Error:
    with duckdb.connect() as con:
        con.execute(f"LOAD {quote_literal(extension_file('httpfs'))}")
        con.execute("SET http_retries = 0")
        con.execute(
            "CREATE SECRET (TYPE s3, KEY_ID 'k', SECRET 's', URL_STYLE 'path', USE_SSL false, "
            f"ENDPOINT {quote_literal(endpoint)})"
        )
        with pytest.raises(duckdb.Error) as caught:
            con.execute(statement)
    return caught.value


def _status(line: str) -> bytes:
    return f"HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


STATEMENTS = ("COPY (SELECT 1 AS x) TO 's3://plant/a.parquet'", "FROM 's3://plant/a.parquet'")
AWAY = {
    "500": _status("500 Internal Server Error"),
    "503": _status("503 Slow Down"),
    "504": _status("504 Gateway Timeout"),
    "429": _status("429 Too Many Requests"),
    "nothing": b"",
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf",
}


@pytest.mark.parametrize("statement", STATEMENTS, ids=["write", "read"])
@pytest.mark.parametrize("answer", AWAY)
def test_a_store_that_fails_for_the_moment_is_away(answer: str, statement: str) -> None:
    with _answering(AWAY[answer]) as endpoint:
        error = _fault(endpoint, statement)
    assert is_away(error), str(error)


@pytest.mark.parametrize("statement", STATEMENTS, ids=["write", "read"])
def test_nobody_who_listens_is_away(statement: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    assert is_away(_fault(f"127.0.0.1:{port}", statement))


@pytest.mark.parametrize("line", ["404 Not Found", "403 Forbidden"])
def test_what_another_try_does_not_mend_is_not(line: str) -> None:
    with _answering(_status(line)) as endpoint:
        assert not is_away(_fault(endpoint, STATEMENTS[1]))
