"""A small plant's first night on PostgreSQL and S3, and that no secret is left anywhere by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from tests.servers import SECRET, Servers

pytestmark = [pytest.mark.slow, pytest.mark.servers]
ROOT = Path(__file__).parents[2]
SOLUTION = "finishing/grading"


def _cellworks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from orchestration.cli.main import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _holding(folder: Path, word: bytes) -> list[str]:
    return [str(file) for file in folder.rglob("*") if file.is_file() and word in file.read_bytes()]


def _rows_holding(servers: Servers, word: str) -> list[str]:
    """Tables of all databases of the instance with a row that holds the word, as text or as bytes."""
    found = []
    for name in ("lake", "dagster", "mlflow"):
        con = psycopg2.connect(f"{os.environ['CELLWORKS_POSTGRES_URL'].replace('?', f'_{name}?')}")
        with con, con.cursor() as cursor:
            cursor.execute("SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables")
            for (table,) in cursor.fetchall():
                cursor.execute(
                    f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE %s OR t::text LIKE %s",
                    [f"%{word}%", f"%{word.encode().hex()}%"],
                )
                if cursor.fetchone()[0]:
                    found.append(f"{name}: {table}")
        con.close()
    return found


def test_a_small_night_goes_through_on_servers_and_leaves_no_secret(
    on_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("CELLWORKS_HOME", str(home.root))
    monkeypatch.setenv("PGPASSWORD", f"pg{SECRET}")
    simulated = _cellworks("simulate", "--days", "6", "--telemetry-days", "1", "--scale", "0.05", "--seed", "7")
    assert simulated.returncode == 0, simulated.stderr
    night = _cellworks("nightly", "--only", SOLUTION, "--json")
    assert night.stdout, night.stderr[-3000:]
    told = json.loads(night.stdout)
    assert told["failed_steps"] == {}, night.stderr[-3000:]
    assert night.returncode == 0
    assert told["rows"]["in"] > 0
    with reader(home) as con:
        cells, answers = con.execute(
            "SELECT (SELECT count(*) FROM marts.cell), (SELECT count(*) FROM ops.solution_night)"
        ).fetchone()
    assert cells > 0
    assert answers == 1
    assert not home.catalogue.exists()
    assert not list(home.data_dir.rglob("*.parquet")), "the lake's data is in the object store"
    assert list((on_servers.folder / "objects").rglob("*.parquet"))
    again = _cellworks("nightly", "--only", SOLUTION, "--json")
    assert json.loads(again.stdout)["rows"] is None or json.loads(again.stdout)["rows"]["in"] == 0
    for text in (simulated, night, again):
        assert SECRET not in text.stdout + text.stderr
    assert _holding(home.root, SECRET.encode()) == []
    assert _rows_holding(on_servers, SECRET) == []
    assert _holding(on_servers.folder / "objects", SECRET.encode()) == []
