"""What a program reads on standard output is what was printed there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.lake.connection import writer
from pipelines.lake.home import Home

# More than the two seconds after which DuckDB draws its bar; asked to draw it sooner, it draws it in any case.
_SLOW = """
con.execute("SET threads = 1")
con.execute("SELECT count(*) FROM range(50_000_000) AS a (i), range(12) AS b (j) WHERE hash(i, j) % 7 = 1")
print("here")
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
        [sys.executable, "-c", opening, str(home.root), _SLOW], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "here\n"
