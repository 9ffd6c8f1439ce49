"""What a program reads on standard output is what was printed there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.lake.connection import writer
from pipelines.lake.home import Home

# DuckDB draws its bar two seconds into a statement where this says so.
_ASK = """
print(con.execute("SELECT current_setting('enable_progress_bar')").fetchall())
"""
_LAKE = """
import sys
from pathlib import Path
from pipelines.curation.instance import connection
from pipelines.lake.home import Home
con = connection(Home(Path(sys.argv[1])))
exec(sys.argv[2])
"""
_FILE = """
import sys
from models.features.source import private_database
con = private_database(1)
exec(sys.argv[2])
"""


@pytest.mark.parametrize("opening", [_LAKE, _FILE], ids=["lake", "file"])
def test_a_long_statement_draws_nothing_where_python_runs_no_file(tmp_path: Path, opening: str) -> None:
    home = Home(tmp_path / "home")
    with writer(home, why="test"):
        pass
    ran = subprocess.run(
        [sys.executable, "-c", opening, str(home.root), _ASK], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[(False,)]\n"
