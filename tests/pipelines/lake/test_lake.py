"""Opening, publishing, hashing, maintenance: on a real lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from duckdb import DuckDBPyConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.clock import plant_now
from pipelines.lake.connection import current_snapshot, reader, retrying, transaction, writer
from pipelines.lake.hashing import table_hash
from pipelines.lake.home import Home
from pipelines.lake.maintenance import expire, maintain, named_snapshots, pin, snapshots, unpin
from pipelines.lake.publish import publish, published_snapshot
from pipelines.lake.schemas import BOOKKEEPING, bootstrap
from pipelines.lake.sql import quote_identifier, quote_literal, quote_relation
from pipelines.lake.tables import has_table

DEMO = Path(__file__).parents[3] / "infra" / "sites" / "demo"
NOW = timedelta(0)


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(DEMO)


@pytest.fixture
def home(tmp_path: Path, site: Site, stores: str) -> Home:
    home = Home(tmp_path / "home")
    bootstrap(home, site)
    return home


@pytest.fixture
def con(home: Home) -> Iterator[DuckDBPyConnection]:
    with writer(home, why="test") as con:
        yield con


def _fill(con: DuckDBPyConnection, rows: int, start: int = 0) -> None:
    con.execute(f"INSERT INTO lake.marts.t SELECT i, 'v' || i FROM range({start}, {start + rows}) AS r (i)")


def test_home_is_the_named_folder_or_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "env"))
    assert Home.from_env().root == (tmp_path / "env").resolve()
    assert Home.from_env(tmp_path / "x").root == (tmp_path / "x").resolve()
    monkeypatch.delenv("CELLWORKS_HOME")
    assert Home.from_env().root.name == ".cellworks"


def test_bootstrap_makes_a_raw_table_per_feed_and_nothing_the_second_time(home: Home, site: Site) -> None:
    with reader(home) as con:
        before = current_snapshot(con)
        for feed in site.feeds:
            found = {row[0]: row[1] for row in con.execute(f"DESCRIBE raw.{feed}").fetchall()}
            assert found == raw_schema(site, feed) | BOOKKEEPING
    bootstrap(home, site)
    with reader(home) as con:
        assert current_snapshot(con) == before


def test_bootstrap_adds_the_columns_that_a_plan_has_gained(home: Home, site: Site, con: DuckDBPyConnection) -> None:
    con.execute("ALTER TABLE raw.ems__weather DROP COLUMN outdoor_rh_pct")
    bootstrap(home, site)
    assert "outdoor_rh_pct" in {row[0] for row in con.execute("DESCRIBE raw.ems__weather").fetchall()}


@pytest.mark.embedded
def test_a_reader_cannot_write_and_says_when_there_is_no_lake(home: Home, tmp_path: Path) -> None:
    with reader(home) as con, pytest.raises(duckdb.Error, match="read-only"):
        con.execute("INSERT INTO ops.published VALUES ('test', 1, now(), 'r')")
    with pytest.raises(CellworksError, match="no lake yet"), reader(Home(tmp_path / "none")):
        pass


def test_readers_see_the_published_snapshot_views_included(home: Home, con: DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE marts.t (n BIGINT, v VARCHAR); CREATE VIEW marts.v AS SELECT count(*) AS n FROM marts.t")
    _fill(con, 20)
    assert published_snapshot(home, "process") is None
    snapshot = publish(con, "process", "run 1")
    _fill(con, 5, 20)
    assert published_snapshot(home, "process") == snapshot
    assert published_snapshot(con, "test") is None
    with reader(home, snapshot=snapshot) as then, reader(home) as now:
        assert then.execute("SELECT n FROM marts.v").fetchone() == (20,)
        assert now.execute("SELECT n FROM marts.v").fetchone() == (25,)
    second = publish(con, "process", "run 2")
    assert published_snapshot(home, "process") == second > snapshot


def test_a_failed_transaction_leaves_nothing(con: DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE marts.t (n BIGINT, v VARCHAR)")
    with pytest.raises(RuntimeError), transaction(con):
        _fill(con, 20)
        raise RuntimeError
    assert con.execute("SELECT count(*) FROM marts.t").fetchone() == (0,)


def test_a_busy_catalogue_is_tried_again_and_any_other_error_is_not() -> None:
    calls: list[int] = []

    def busy_once() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise duckdb.IOException("database is locked")
        return "done"

    assert retrying(busy_once) == "done"
    assert len(calls) == 2

    def wrong() -> None:
        calls.append(1)
        raise duckdb.BinderException("no such column")

    with pytest.raises(duckdb.BinderException):
        retrying(wrong)
    assert len(calls) == 3


def test_the_plants_clock_is_the_newest_known_moment(con: DuckDBPyConnection) -> None:
    with pytest.raises(CellworksError, match="no clock"):
        plant_now(con)
    con.execute(
        "INSERT INTO ops.ingest_offset (source, feed, fingerprint, status, note, rows_in, rows_quarantined, "
        "max_known_at, batch_id, ingested_at) SELECT 's', 'f', 'x', 'taken', '', 1, 0, "
        "TIMESTAMP '2026-09-01' + to_days(i::INTEGER), 1, now() FROM range(3) AS t (i)"
    )
    assert plant_now(con) == datetime(2026, 9, 3)  # noqa: DTZ001


def test_the_hash_ignores_order_and_notices_value_count_and_column(con: DuckDBPyConnection) -> None:
    con.execute("CREATE TEMP TABLE a AS SELECT i, i % 3 AS m, 'x' AS extra FROM range(50) AS r (i)")
    con.execute("CREATE TEMP TABLE b AS SELECT * FROM a ORDER BY i DESC")
    first = table_hash(con, "temp.main.a")
    assert table_hash(con, "temp.main.b") == first
    con.execute("INSERT INTO b SELECT * FROM b WHERE i = 7")
    assert table_hash(con, "temp.main.b") != first
    con.execute("DELETE FROM a WHERE i = 7; INSERT INTO a VALUES (7, 1, 'y')")
    assert table_hash(con, "temp.main.a") != first
    assert table_hash(con, "temp.main.a", exclude=["extra"]) == table_hash(con, "temp.main.a", exclude=["extra"])
    assert table_hash(con, "temp.main.a", where="i < 7") == table_hash(con, "temp.main.b", where="i < 7")


@pytest.mark.embedded
def test_a_connection_leaves_nothing_behind_for_the_next(
    home: Home, site: Site, con: DuckDBPyConnection, tmp_path: Path
) -> None:
    con.execute("CREATE TABLE marts.t (n BIGINT)")
    other = Home(tmp_path / "other")
    bootstrap(other, site)
    with reader(home) as outer:
        usual = outer.execute("SELECT current_setting('threads')").fetchone()
        outer.execute("SET threads = 1")
        outer.execute("CREATE TEMP TABLE mine AS SELECT 1 AS n")
        with reader(other) as inner, pytest.raises(duckdb.CatalogException):
            inner.execute("SELECT * FROM marts.t")
    with pytest.raises(ZeroDivisionError), reader(home):
        raise ZeroDivisionError
    for _ in range(2):
        with reader(home) as again:
            assert again.execute("SELECT count(*) FROM marts.t").fetchone() == (0,)
            assert again.execute("SELECT current_setting('threads')").fetchone() == usual
            assert again.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary").fetchone() == (0,)


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_quoted_names_and_texts_come_back_as_they_were(text: str) -> None:
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE {quote_identifier('t' + text)} (c VARCHAR)")
        assert con.execute("SELECT table_name FROM duckdb_tables()").fetchone() == ("t" + text,)
        assert con.execute(f"SELECT {quote_literal(text)}").fetchone() == (text,)


def test_names_that_can_not_be_quoted_are_refused() -> None:
    for call in (lambda: quote_identifier(""), lambda: quote_literal("a\x00"), lambda: quote_relation("a..b")):
        with pytest.raises(CellworksError):
            call()
    assert quote_literal(None) == "NULL"


@pytest.mark.slow
def test_expiry_keeps_what_is_pinned_published_or_named_and_the_same_rows_come_back(
    home: Home, con: DuckDBPyConnection
) -> None:
    con.execute("CREATE TABLE marts.t (n BIGINT, v VARCHAR)")
    hashes = {}
    for start in range(0, 600, 100):
        _fill(con, 100, start)
        hashes[current_snapshot(con)] = table_hash(con, "marts.t")
    con.execute("DELETE FROM marts.t WHERE n % 2 = 0")
    last = table_hash(con, "marts.t")
    trained, champion, *_ = hashes
    pin(con, trained, "training set", "model a 1")
    pin(con, trained, "training set", "model a 1")
    published = publish(con, "test", "run")
    con.close()
    report = maintain(home, keep=NOW, grace=NOW, also_keep=[champion])
    with reader(home) as now:
        files = "SELECT file_count FROM ducklake_table_info('lake') WHERE table_name = 't'"
        assert now.execute(files).fetchone() == (1,)
    with reader(home) as now:
        assert {trained, champion, published} <= set(snapshots(now))
        assert len(report.expired) > 5
        assert now.execute("SELECT count(*) FROM marts.t").fetchone() == (300,)
    for number in (trained, champion):
        with reader(home, snapshot=number) as then:
            assert table_hash(then, "marts.t") == hashes[number]
    with pytest.raises(CellworksError, match="has no snapshot"), reader(home, snapshot=report.expired[-1]):
        pass
    with writer(home, why="test") as again:
        unpin(again, "model a 1")
        publish(again, "test", "another run")
    report = maintain(home, keep=NOW, grace=NOW)
    assert {trained, champion, published} <= set(report.expired)
    assert report.removed > 0
    with reader(home) as now:
        assert table_hash(now, "marts.t") == last


def test_a_snapshot_expires_when_its_last_holder_lets_go(home: Home, con: DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE marts.t (n BIGINT, v VARCHAR)")
    number = current_snapshot(con)
    pin(con, number, "a", "one")
    pin(con, number, "b", "two")
    unpin(con, "one")
    assert number in named_snapshots(con)
    unpin(con, "two", number)
    assert number not in named_snapshots(con)
    assert number in expire(con, keep=NOW)
    with pytest.raises(CellworksError, match="can't be pinned"):
        pin(con, number, "a", "one")


@pytest.mark.slow
def test_young_snapshots_stay(home: Home) -> None:
    assert maintain(home).expired == ()


@pytest.mark.slow
@pytest.mark.embedded
def test_what_a_killed_writer_left_is_removed_and_nothing_else(home: Home, con: DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE marts.t (n BIGINT, v VARCHAR)")
    _fill(con, 100)
    before = table_hash(con, "marts.t")
    con.close()
    orphan = home.data_dir / "raw" / "x" / "production_day=2026-01-01" / "orphan.parquet"
    orphan.parent.mkdir(parents=True)
    duckdb.execute(f"COPY (SELECT 1 AS a) TO {quote_literal(orphan)}")
    assert maintain(home).orphans == 1
    assert not orphan.parent.exists()
    with reader(home) as now:
        assert table_hash(now, "marts.t") == before


def test_a_table_is_there_as_the_connection_sees_it_in_its_own_transaction_too(con: DuckDBPyConnection) -> None:
    assert has_table(con, "ops", "published")
    assert not has_table(con, "nowhere", "published")
    assert not has_table(con, "ops", "table")  # also the name of a variable where it is asked
    con.execute("BEGIN TRANSACTION")
    assert not has_table(con, "marts", "new")
    con.execute("CREATE TABLE lake.marts.new (i INTEGER)")
    assert has_table(con, "marts", "new")
    con.execute("ROLLBACK")
    assert not has_table(con, "marts", "new")
