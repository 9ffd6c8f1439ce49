"""Reading what a small plant delivered and what it hid."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from pipelines.control_plan.site import Site, load_site
from pipelines.lake.home import Home
from pipelines.twin.truth import truth_dir

_READERS = {"parquet": "read_parquet", "csv": "read_csv", "csv.gz": "read_csv", "jsonl": "read_json"}
Read = Callable[[Home, str], pd.DataFrame]


@pytest.fixture(scope="session")
def site() -> Site:
    return load_site(Path(__file__).parents[3] / "infra" / "sites" / "demo")


@pytest.fixture(scope="session")
def delivered(site: Site) -> Read:
    """All records of a feed as they were delivered, by key and time."""

    def read(home: Home, feed: str) -> pd.DataFrame:
        form = site.feeds[feed].delivery.format
        if form == "sql":
            con = sqlite3.connect(home.erp_file)
            try:
                return pd.read_sql(f"SELECT * FROM {feed} ORDER BY row_no", con)
            finally:
                con.close()
        source = f"{_READERS[form]}('{home.drop_dir}/{feed}/*.{form}')"
        return duckdb.sql(f"SELECT * FROM {source} ORDER BY ALL").df()

    return read


@pytest.fixture(scope="session")
def truth() -> Read:
    """What the plant could not see."""

    def read(home: Home, table: str) -> pd.DataFrame:
        return duckdb.sql(f"SELECT * FROM read_parquet('{truth_dir(home)}/{table}/*.parquet') ORDER BY ALL").df()

    return read


@pytest.fixture(scope="session")
def files() -> Callable[[Home], dict[str, bytes]]:
    """Content of all files delivered, by name."""

    def read(home: Home) -> dict[str, bytes]:
        found = sorted(path for path in home.drop_dir.rglob("*") if path.is_file())
        return {str(path.relative_to(home.drop_dir)): path.read_bytes() for path in found}

    return read
