"""A service between client and server that misbehaves when told to: answers 500, keeps callers waiting, breaks off."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Proxy:
    """Passes requests on to `upstream`, save for those that it spoils.

    Attributes:
        endpoint: its address.
        fail: how many of the next requests that match are answered 500.
        hang: likewise, but the connection is closed after `hang_s` without an answer.
        cut: likewise, but it is closed in the midst of the answer's body.
        method: only requests of this method are spoilt.
        spoilt: how many were.
    """

    def __init__(self, upstream: str, hang_s: float = 1.0) -> None:
        self.fail, self.hang, self.cut, self.method, self.spoilt = 0, 0, 0, "PUT", 0
        self._guard, self._ended = threading.Lock(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(upstream).netloc, hang_s))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def spoils(self, method: str) -> str:
        """What becomes of a request: `fail`, `hang`, `cut`, or nothing."""
        with self._guard:
            if method != self.method:
                return ""
            for way in ("fail", "hang", "cut"):
                if left := getattr(self, way):
                    setattr(self, way, left - 1)
                    self.spoilt += 1
                    return way
        return ""

    @contextlib.contextmanager
    def serving(self) -> Iterator[Proxy]:
        """Serve within the block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def wait(self, seconds: float) -> None:
        """Keep a caller waiting, until the proxy ends at the latest."""
        self._ended.wait(seconds)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    upstream: str
    hang_s: float

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        way = self.proxy.spoils(self.command)
        if way == "fail":
            self._answer(500, {}, b"<Error><Code>InternalError</Code></Error>")
        elif way == "hang":
            self.proxy.wait(self.hang_s)
            self.close_connection = True
        elif way == "cut":
            status, headers, content = self._forward(body)
            self._answer(status, headers | {"Content-Length": str(len(content))}, content[: len(content) // 2])
            self.close_connection = True
        else:
            self._answer(*self._forward(body))

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=30)
        # Host is signed, so it stays as the client gave it.
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        if self.command == "HEAD" and (length := answer.getheader("Content-Length")):
            headers["Content-Length"] = length
        connection.close()
        return answer.status, headers, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def _handler(proxy: Proxy, upstream: str, hang_s: float) -> type[_Handler]:
    return type("Handler", (_Handler,), {"proxy": proxy, "upstream": upstream, "hang_s": hang_s})
