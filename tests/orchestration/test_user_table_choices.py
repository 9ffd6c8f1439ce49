"""A table of the lake serves as well as a file; columns can be left out by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.catalogue import find
from orchestration.plant import plant
from pipelines.lake.connection import reader, transaction, writer
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap

Here = Callable[..., Any]
ROWS = 320


def _columns() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=ROWS), rng.normal(size=ROWS)
    material = rng.choice(["a", "b", "c"], ROWS)
    noise = rng.normal(0, 0.5, ROWS)
    return {
        "id": [f"P{number}" for number in range(ROWS)],
        "x": pa.array([None if n % 11 == 0 else value for n, value in enumerate(x)]),
        "z": z,
        "material": material,
        "constant": np.ones(ROWS),
        "empty": pa.nulls(ROWS, pa.float64()),
        "made_at": [datetime(2026, 1, 1) + timedelta(hours=n) for n in range(ROWS)],  # noqa: DTZ001
        "lot": [f"L{n // 8}" for n in range(ROWS)],
        "thickness": 60 + 2 * z + np.where(material == "a", 1.0, 0.0) + noise,
        "grade": np.select([z + noise > 0.6, z + noise < -0.6], ["A", "C"], "B"),
    }


def _marts(*names: str) -> Home:
    """An instance whose marts hold the same rows under each name."""
    home = plant().home.ensure()
    bootstrap(home, plant().site)
    given = pa.table({name: _columns()[name] for name in ("id", "x", "z", "material", "thickness")})
    with writer(home, why="test") as con, transaction(con):
        con.register("given", given)
        for name in names:
            con.execute(f"CREATE TABLE lake.marts.{name} AS SELECT * FROM given")
    return home


def test_a_table_of_the_lake_serves_as_well_as_a_file(here: Here) -> None:
    home = _marts("trial")
    options = ["--target", "thickness", "--entity", "id"]
    made = here("solution", "new", "mine/model", "--table", "marts.trial", *options)
    assert made.returncode == 0, made.stderr
    assert find("mine/model").table == "marts.trial"
    refused = here("solution", "new", "mine/other", "--table", "marts.nothing", *options)
    assert (refused.returncode, "marts.nothing" in refused.stderr) == (2, True)
    with reader(home) as con:
        assert con.execute("SELECT count(*) FROM lake.marts.trial").fetchone() == (ROWS,)


def test_a_table_of_cells_brings_its_step_and_the_one_that_shows_what_came_later_is_refused(here: Here) -> None:
    _marts("cell", "cell_at_filling")
    options = ["--target", "thickness", "--entity", "id"]
    made = here("solution", "new", "mine/model", "--table", "marts.cell_at_filling", *options)
    assert made.returncode == 0, made.stderr
    assert (find("mine/model").acts_at, find("mine/model").entity) == ("filling", "cell")
    refused = here("solution", "new", "mine/other", "--table", "marts.cell", *options)
    assert (refused.returncode, "shows what came later" in refused.stderr) == (2, True), refused.stderr


def test_a_column_can_be_left_out_by_hand(here: Here, tmp_path: Path) -> None:
    pq.write_table(pa.table(_columns()), tmp_path / "table.parquet")
    options = ["--table", "table.parquet", "--target", "thickness", "--entity", "id"]
    wrong = here("solution", "new", "mine/model", *options, "--exclude", "nothing")
    assert (wrong.returncode, "'nothing' is not in the table" in wrong.stderr) == (2, True)
    made = here("solution", "new", "mine/model", *options, "--exclude", "z", "--exclude", "grade")
    assert made.returncode == 0, made.stderr
    assert "left out 'z': excluded by hand" in made.stdout
    assert not {"z", "grade"} & set(find("mine/model").features.select)
