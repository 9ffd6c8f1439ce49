"""A person sees what a move, a backup and a restore are doing; a program that reads their document does not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration import progress
from orchestration.cli.main import app
from orchestration.cli.moving import in_words
from orchestration.moving.migrate import migrate
from pipelines.lake.home import Home
from tests.listening import Listener
from tests.servers import Servers

FILES = [("the lake", "lake"), ("the models", "mlflow")]


def _steps(stderr: str) -> list[str]:
    return re.findall(r"^✓ (.*)  \d+ s$", stderr, flags=re.MULTILINE)


def test_backup_and_restore_tell_each_step_and_are_silent_for_a_program(
    instance: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(home: Path, *arguments: str) -> tuple[str, str]:
        monkeypatch.setenv("CELLWORKS_HOME", str(home))
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return done.stdout, done.stderr

    both = ["files of the lake", "files of the models"]
    _, told = run(instance.root, "backup", str(tmp_path / "one"))
    assert _steps(told) == ["the home's own files", *both, "comparing them with the catalogue", "the manifest"]
    out, told = run(instance.root, "backup", str(tmp_path / "two"), "--json")
    assert json.loads(out)["files"] > 0
    assert _steps(told) == []
    _, told = run(tmp_path / "again", "restore", str(tmp_path / "one"))
    assert _steps(told) == ["reading the backup whole, before anything is written", *both, "the home's own files"]
    _, told = run(tmp_path / "once_more", "restore", str(tmp_path / "one"), "--json")
    assert _steps(told) == []


def test_a_person_reads_the_sums_of_a_move_and_no_row_for_each_table() -> None:
    tables = [{"table": f"t{number}", "rows": 1_000, "hash": "f" * 64} for number in range(40)]
    found = {"moved": True, "stores": {"lake": tables, "mlflow": []}, "files": {"lake": 7, "mlflow": 1}, "bytes": 25e5}
    assert in_words(found) == [
        "lake: 40 tables with 40,000 rows: each read back with the same hash",
        "mlflow: 0 tables with 0 rows: each read back with the same hash",
        "8 files, 2.5 MB: each read back with the same SHA-256",
        "from now on run with CELLWORKS_ENV=servers; the files of the home may be kept as a copy of this moment",
    ]
    assert in_words({"moved": False, "stores": {}, "files": {}, "bytes": 0}) == [
        "this instance was moved before; nothing was done"
    ]


@pytest.mark.slow
def test_a_move_tells_how_many_files_and_tables_are_there(
    instance: Home, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in servers.instance().items():
        monkeypatch.setenv(name, value)
    for name in ("DAGSTER_HOME", "CELLWORKS_DAGSTER_URL"):
        monkeypatch.setenv(name, "")
    listener = Listener()
    with progress.listening(listener):
        found = migrate(instance)
    heard = listener.heard
    for words, what in FILES:
        count = found["files"][what]
        assert ("files copied", count, count) in heard[f"files of {words}"]
        assert heard[f"files of {words}"][-1] == ("files read back", count, count)
    for title in ("the registry's tables", "runs and events of Dagster", "the catalogue's tables"):
        last, done, total = heard[title][-1]
        assert last.startswith("tables read back, now ")
        assert done + 1 == total > 1
