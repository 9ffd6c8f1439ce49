"""The night of a person's own table on PostgreSQL and S3, and that no secret is left anywhere by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from models.registry.client import open_home
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.stores import DATABASES, database_url
from tests.servers import SECRET, Servers

pytestmark = [pytest.mark.slow, pytest.mark.servers]
ROOT = Path(__file__).parents[2]
SOLUTION, ROWS = "mine/model", 300


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


def _rows_holding(word: str) -> list[str]:
    """Tables of all databases of the instance with a row that holds the word, as text or as bytes."""
    found = []
    for name in DATABASES:
        con = psycopg2.connect(database_url(os.environ["CELLWORKS_POSTGRES_URL"], name))
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


def _own_table(folder: Path) -> None:
    """A table of parts, whose quality follows from one of its columns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS)
    quality = np.where(x + rng.normal(0, 0.4, ROWS) > 0.5, "bad", "good")
    pq.write_table(pa.table({"id": [f"P{n}" for n in range(ROWS)], "x": x, "y": quality}), folder / "table.parquet")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder of the night's own, whose path is short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        yield Path(folder)


def test_a_small_night_goes_through_on_servers_and_leaves_no_secret(
    on_servers: Servers, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("CELLWORKS_HOME", str(home.root))
    monkeypatch.setenv("PGPASSWORD", f"pg{SECRET}")
    monkeypatch.setenv("TMPDIR", str(temporary))
    _own_table(tmp_path)
    named = ("--table", str(tmp_path / "table.parquet"), "--target", "y", "--entity", "id")
    made = _cellworks("solution", "new", SOLUTION, *named)
    assert made.returncode == 0, made.stderr
    defs = home.root / "solutions" / SOLUTION / "defs.yaml"
    content = yaml.safe_load(defs.read_text())
    content["attributes"]["search"] = {"trials": 1, "refit_trials": 1, "max_rounds": 20, "libraries": ["lightgbm"]}
    defs.write_text(yaml.safe_dump(content))
    night = _cellworks("nightly", "--only", SOLUTION, "--json")
    assert night.stdout, night.stderr[-3000:]
    told = json.loads(night.stdout)
    assert told["failed_steps"] == {}, night.stderr[-3000:]
    (model,) = told["models"]
    with reader(home) as con:
        rows = con.execute(
            "SELECT (SELECT count(*) FROM raw.own__mine__model), (SELECT count(*) FROM ops.solution_night)"
        ).fetchone()
    assert rows == (ROWS, 1)
    assert open_home(home).get_model_version("mine.model", model["version"])
    assert not home.catalogue.exists()
    assert not list(home.root.rglob("*.parquet")), "the lake's data is in the object store"
    assert list((on_servers.folder / "objects").rglob("*.parquet"))
    for text in (made, night):
        assert SECRET not in text.stdout + text.stderr
    assert list(temporary.iterdir()) == [], "nothing of a night stays in the temporary folder"
    assert _holding(home.root, SECRET.encode()) == []
    assert _rows_holding(SECRET) == []
    assert _holding(on_servers.folder / "objects", SECRET.encode()) == []
