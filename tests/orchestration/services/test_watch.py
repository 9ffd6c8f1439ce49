"""What a server that runs has to answer to be called well, and when it is restarted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orchestration.services import probes
from orchestration.services.layout import services_of
from orchestration.services.watch import AGAIN_S, GRACE_S, STRIKES, Watch
from pipelines.lake.home import Home
from tests.orchestration.services.conftest import chosen


@pytest.fixture
def answering() -> Iterator[tuple[str, list[int]]]:
    """A server on loopback and the status that it answers with."""
    status = [200]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()
            self.wfile.write(b'{"data": null, "errors": [{"message": "no storage"}]}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", status
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_runs_but_does_not_answer_is_restarted_after_enough_strikes_in_a_row(
    home: Home, answering: tuple[str, list[int]]
) -> None:
    url, status = answering
    mlflow = next(each for each in services_of(home, chosen(home)) if each.name == "mlflow")
    watched = replace(mlflow, probe=lambda: probes.http(url))
    watch, old = Watch(), {"statename": "RUNNING", "start": 0, "now": GRACE_S}
    status[0] = 503
    young = {**old, "now": GRACE_S - 1}
    assert [watch.judge(watched, young, 0.0) for _ in range(STRIKES)] == [None] * STRIKES
    assert [watch.judge(watched, old, 0.0) for _ in range(STRIKES - 1)] == [None] * (STRIKES - 1)
    status[0] = 200
    assert watch.judge(watched, old, 0.0) is None
    status[0] = 503
    judged = [watch.judge(watched, old, 0.0) for _ in range(STRIKES)]
    assert judged[:-1] == [None] * (STRIKES - 1)
    assert judged[-1] == f"{STRIKES} probes failed, the last: HTTP 503"


def test_a_daemon_of_which_the_pages_do_not_tell_is_not_held_against_it(
    home: Home, answering: tuple[str, list[int]]
) -> None:
    url, status = answering
    daemon = next(each for each in services_of(home, chosen(home)) if each.name == "daemon")
    for asked, found, says in (
        (url, 200, "not known: the web server says .*no storage"),
        (url, 503, "not known: the web server says HTTP 503"),
        ("http://127.0.0.1:9", 0, "not known: the web server: "),
    ):
        status[0] = found or status[0]
        with pytest.raises(probes.NotKnownError, match=says):
            probes.daemon(asked)
        watched = replace(daemon, probe=lambda asked=asked: probes.daemon(asked))
        watch, old = Watch(), {"statename": "RUNNING", "start": 0, "now": GRACE_S}
        assert {watch.judge(watched, old, 0.0) for _ in range(2 * STRIKES)} == {None}


def test_an_mlflow_that_tells_a_stranger_anything_is_not_healthy(answering: tuple[str, list[int]]) -> None:
    with pytest.raises(probes.UnhealthyError, match="without its auth app"):
        probes.closed(answering[0])


def test_what_the_supervisor_gave_up_is_tried_again_later(home: Home) -> None:
    mlflow = next(each for each in services_of(home, chosen(home)) if each.name == "mlflow")
    watch, fatal = Watch(), {"statename": "FATAL", "start": 0, "now": 0}
    assert watch.judge(mlflow, fatal, 100.0) is None
    assert watch.judge(mlflow, fatal, 100.0 + AGAIN_S - 1) is None
    assert watch.judge(mlflow, fatal, 100.0 + AGAIN_S) == "the supervisor had given it up"
