"""Lines for a log store: each a JSON object that says where it belongs, and none says a secret."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.logs import LOG_VARIABLE, JsonLines, bound, configure
from pipelines.lake.redaction import Redaction

Here = Callable[..., Any]
PLANTED = "hunter2-planted"


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[logging.Logger]:
    """The platform's logger as `CELLWORKS_LOG=json` makes it, writing where `capfd` looks; taken back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("cellworks")
    before = root.handlers[:], ours.handlers[:], ours.level
    monkeypatch.setenv(LOG_VARIABLE, "json")
    configure()
    yield ours
    logging.captureWarnings(capture=False)
    root.handlers[:], ours.handlers[:] = before[:2]
    ours.setLevel(before[2])


def _told(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_line_names_run_solution_and_lot_where_they_are_known(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger().addHandler(logging.StreamHandler())  # as libraries do that call basicConfig
    configure()  # a second time must not tell each line twice
    with bound(run="r1"):
        logger.info("first")
        with bound(solution="incoming/grading", lot="L7"):
            logger.getChild("actions").warning("held\nback", extra={"kind": "hold_lot"})
        logger.info("last")
    first, held, last = _told(capfd)
    assert {name: first.get(name) for name in ("level", "message", "run", "solution", "lot")} == {
        "level": "info",
        "message": "first",
        "run": "r1",
        "solution": None,
        "lot": None,
    }
    assert (held["run"], held["solution"], held["lot"]) == ("r1", "incoming/grading", "L7")
    assert (held["level"], held["logger"], held["kind"]) == ("warning", "cellworks.actions", "hold_lot")
    assert held["message"] == "held\nback"
    assert "solution" not in last
    assert first["time"].endswith("+00:00")


def test_libraries_tell_only_what_is_wrong(logger: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("trouble")
    assert [line["message"] for line in _told(capfd)] == ["trouble"]


def test_mlflow_says_nothing_between_the_bars_of_a_night() -> None:
    """Asked of a process that loads what the fork server of the nights loads, as the level is read at the import."""
    look = "import orchestration.preload, logging; print(logging.getLogger('mlflow.pyfunc').isEnabledFor(logging.INFO))"
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_LOGGING_LEVEL"}
    said = subprocess.run(
        [sys.executable, "-c", look], env=environment, check=True, capture_output=True, text=True, timeout=120
    )
    assert said.stdout == "False\n"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "AWS_SESSION_TOKEN",
        "GRAFANA_API_KEY",
        "CELLWORKS_GATEWAY_PASSPHRASE",
        "CELLWORKS_S3_KEY",
        "KEY",
        "AWS_ACCESS_KEY_ID",
    ],
)
def test_a_secret_of_the_environment_is_in_no_line(
    name: str, logger: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, PLANTED)
    try:
        {}[f"refused: {PLANTED}"]
    except KeyError:
        logger.exception("with %s", PLANTED, extra={"deep": {"list": [f"x{PLANTED}y"]}, "other": Path(PLANTED)})
    with bound(lot="L1"):
        logger.info("after")
    printed = capfd.readouterr().err
    assert PLANTED not in printed
    line = json.loads(printed.splitlines()[0])
    assert line["message"] == "with [redacted]"
    assert "refused: [redacted]" in line["error"]
    assert line["deep"] == {"list": ["x[redacted]y"]}


def test_passwords_of_libpqs_file_and_of_addresses_are_in_no_line(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pgpass").write_text("# a remark\n*:5432:cellworks_lake:me:colon\\:in it\n")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    logger.info("postgresql://me:other-one@host/x, password=third-one, Authorization: Bearer fourth.one, colon:in it")
    printed = capfd.readouterr().err
    assert not [secret for secret in ("other-one", "third-one", "fourth.one", "colon:in it") if secret in printed]
    assert "postgresql://me:[redacted]@host/x" in printed


def test_the_file_that_a_secret_is_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLWORKS_TOKEN_FILE", "/home/me/token")
    assert Redaction()("can't read /home/me/token") == "can't read /home/me/token"


def test_a_secret_is_hidden_as_an_address_json_and_python_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", 'x1/x1"x1\n')
    monkeypatch.setenv("PLANT_ERP_URL", "mssql://me:x1%40x1@erp.example/erp")
    for told in ("x1%2Fx1%22x1%0A", json.dumps('x1/x1"x1\n'), repr('x1/x1"x1\n'), "login with x1@x1"):
        assert "x1" not in Redaction()(told)


def test_what_is_called_a_secret_is_hidden_in_what_a_line_carries() -> None:
    assert Redaction().within({"password": "x1", "deep": [{"auth_token": "x1", "tokens": 5}], "feed": "erp"}) == {
        "password": "[redacted]",
        "deep": [{"auth_token": "[redacted]", "tokens": 5}],
        "feed": "erp",
    }


@pytest.mark.parametrize(
    "told",
    [
        "{'password': 'x1'} after",
        '{"secret": "x1", "port": 5} after',
        '{"text": "{\\"secret\\": \\"x1 x2\\"}"} after',
        "aws_secret_access_key: x1 after",
        "password='x1 x2' after",
        'password = "x1 x2", after',
        "password='x1\\' x2' after",
        "PASSPHRASE=x1 after",
        "https://host/path?api_key=x1&after",
        "X-Auth-Token: x1 after",
        "private-key: x1 after",
        "SELECT 1; password='x1 x2 that was cut",
        "postgresql://me:x1@x2@host:5432/db after",
        "Authorization: Basic x1== after",
        '{"password": x1, "port": 5} after',
        "CREATE SECRET s (TYPE s3, SECRET 'x1''x2') after",
        "ALTER ROLE me PASSWORD 'x1 x2' after",
        "found eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4MSJ9.x1x2 after",
    ],
)
def test_what_has_a_secrets_form_is_hidden_whole_and_the_rest_is_told(told: str) -> None:
    hidden = Redaction()(f"before {told}")
    assert "[redacted]" in hidden
    assert "x1" not in hidden
    assert "x2" not in hidden
    assert hidden.startswith("before ")
    assert hidden.count("after") == told.count("after")
    assert Redaction()("a token is missing, 3 secrets; the key: worn; broken: 5") == (
        "a token is missing, 3 secrets; the key: worn; broken: 5"
    )


@pytest.mark.parametrize(
    "piece", ["secret_", "password", "token:", "://a:", "'", "\\", "eyJ", "KEY_ID ", "PASSWORD  '", "a-"]
)
def test_a_text_from_outside_takes_time_by_its_length(piece: str) -> None:
    text, redact, begun = piece * (200_000 // len(piece)), Redaction(), time.process_time()
    redact(text)
    assert time.process_time() - begun < 5, "a tenth of a second; by the square of the length it would be minutes"


@given(st.text(), st.dictionaries(st.sampled_from(["a", "b"]), st.text() | st.floats() | st.binary() | st.none()))
def test_any_record_is_one_line_of_json(message: str, extra: dict[str, Any]) -> None:
    record = logging.makeLogRecord({"msg": "%s", "args": (message,), "name": "cellworks", **extra})
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "\r" not in line
    assert isinstance(json.loads(line), dict)


def test_the_command_line_tells_its_end_to_the_log_and_prints_only_its_document(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = logging.getLogger().handlers[:]
    monkeypatch.setenv(LOG_VARIABLE, "json")
    told = here("status", "--json", "--site", "no/such/folder")
    logging.getLogger().handlers[:] = before
    logging.captureWarnings(capture=False)
    logging.getLogger("cellworks").setLevel(logging.NOTSET)
    assert (told.returncode, told.stdout) == (2, "")
    (line,) = [json.loads(each) for each in told.stderr.splitlines()]
    assert line["level"] == "error"
    assert line["message"].startswith("there is no such site")


def test_a_form_that_is_none_is_refused(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG_VARIABLE, "yaml")
    told = here("status")
    assert told.returncode == 2
    assert "no such form of the log" in told.stderr
    assert "text or json" in told.stderr
