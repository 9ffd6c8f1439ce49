"""How far a table was read: by a number, by a moment, by a date; real databases, a real lake."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site, load_site
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader
from pipelines.lake.home import Home

DEMO = Path(__file__).parents[3] / "infra" / "sites" / "demo"
LOTS = "erp__material_lot"
LINE = "      - {feed: erp__material_lot, table: erp__material_lot, cursor_column: row_no}\n"
DAY = ("2026-09-01", "2026-09-02", "2026-09-03", "2026-09-04")
MOMENT = ("2026-09-01 08:00:00", "2026-09-01 08:00:00.000001", "2026-09-01 08:00:01", "2026-09-02 00:00:00")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").ensure()


def _site(folder: Path, url: str) -> Site:
    """The demo site, its lots read from another database behind `changed`."""
    folder.mkdir()
    for file in DEMO.iterdir():
        content = file.read_text(encoding="utf-8")
        if file.name == "site.yaml":
            assert LINE in content
            content = content.replace(LINE, LINE.replace("row_no", "changed"))
            content = content.replace("sqlite:///${home}/erp/erp.sqlite", url)
        (folder / file.name).write_text(content, encoding="utf-8")
    return load_site(folder)


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _create(url: str, site: Site, kind: str) -> None:
    for table in (name for name, feed in site.feeds.items() if feed.delivery.format == "sql"):
        cursor = f"changed {kind}" if table == LOTS else "row_no INTEGER"
        declared = ", ".join(f'"{name}" VARCHAR' for name in raw_schema(site, table))
        _execute(url, f"CREATE TABLE {table} ({cursor}, {declared})")


def _insert(url: str, site: Site, changed: str, rows: str) -> None:
    """Insert a lot for each `lot` of a query, all changed at the same moment."""
    values = dict.fromkeys(raw_schema(site, LOTS), "'2026-09-01 00:00:00'")
    values |= {"material_lot_id": "lot", "material_code": "'lfp'", "quantity_kg": "'5'"}
    _execute(url, f"INSERT INTO {LOTS} SELECT {changed}, {', '.join(values.values())} FROM ({rows}) AS t")


def _lots(home: Home) -> list[str]:
    with reader(home) as con:
        return [row[0] for row in con.execute(f"SELECT material_lot_id FROM raw.{LOTS} ORDER BY 1").fetchall()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "kind", "changes"),
    [("sqlite", "TEXT", MOMENT), ("sqlite", "TEXT", DAY), ("duckdb", "TIMESTAMP", MOMENT), ("duckdb", "DATE", DAY)],
    ids=["moments-as-text", "dates-as-text", "moments", "dates"],
)
def test_rows_of_one_moment_come_once_and_the_newest_waits_for_a_later_one(
    home: Home, tmp_path: Path, scheme: str, kind: str, changes: tuple[str, ...]
) -> None:
    url = f"{scheme}:///{home.erp_file}"
    site = _site(tmp_path / "site", url)
    first, second, third, fourth = (f"'{change}'" for change in changes)
    _create(url, site, kind)
    _insert(url, site, first, "SELECT 'L1' AS lot UNION ALL SELECT 'L2'")
    assert ingest(home, site).batch_id is None
    _insert(url, site, first, "SELECT 'L3' AS lot")  # late, of the moment that was the newest
    _insert(url, site, second, "SELECT 'L4' AS lot")
    assert ingest(home, site).rows_in == 3
    assert _lots(home) == ["L1", "L2", "L3"]
    assert ingest(home, site).batch_id is None
    _insert(url, site, third, "SELECT 'L5' AS lot")
    _insert(url, site, fourth, "SELECT 'L6' AS lot")
    assert ingest(home, site).rows_in == 2
    assert _lots(home) == ["L1", "L2", "L3", "L4", "L5"]


@pytest.mark.slow
def test_a_chunk_that_ends_amid_rows_of_one_moment_loses_none(home: Home, tmp_path: Path) -> None:
    url = f"sqlite:///{home.erp_file}"
    site = _site(tmp_path / "site", url)
    _create(url, site, "TEXT")
    numbers = (
        "WITH RECURSIVE r(n) AS (SELECT {} UNION ALL SELECT n + 1 FROM r WHERE n < {}) SELECT 'L' || n AS lot FROM r"
    )
    for change, low, high in zip(MOMENT, (1, 19_991, 20_011, 20_021), (19_990, 20_010, 20_020, 20_021), strict=True):
        _insert(url, site, f"'{change}'", numbers.format(low, high))
    assert ingest(home, site).rows_in == 20_020
    assert sorted(_lots(home)) == sorted(f"L{number}" for number in range(1, 20_021))


@pytest.mark.parametrize("change", ["'second'", "0.5", "x'00ff'"], ids=["a-word", "a-fraction", "bytes"])
def test_a_cursor_that_has_no_order_of_time_is_refused_with_its_name(home: Home, tmp_path: Path, change: str) -> None:
    url = f"sqlite:///{home.erp_file}"
    site = _site(tmp_path / "site", url)
    _create(url, site, "")
    _insert(url, site, change, "SELECT 'L1' AS lot")
    with pytest.raises(CellworksError, match="cursor column 'changed'") as refused:
        ingest(home, site)
    assert "whole numbers, or moments or dates" in str(refused.value)


@pytest.mark.slow
def test_a_cursor_of_another_kind_than_last_time_is_refused(home: Home, tmp_path: Path) -> None:
    url = f"sqlite:///{home.erp_file}"
    site = _site(tmp_path / "site", url)
    _create(url, site, "")
    _insert(url, site, "7", "SELECT 'L1' AS lot")
    assert ingest(home, site).rows_in == 1
    _insert(url, site, f"'{MOMENT[0]}'", "SELECT 'L2' AS lot")
    with pytest.raises(CellworksError, match="another kind than when the table was read last"):
        ingest(home, site)
    assert _lots(home) == ["L1"]


def test_rows_without_a_cursor_value_are_told(home: Home, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/erp.sqlite"
    site = _site(tmp_path / "site", url)
    _create(url, site, "INTEGER")
    _insert(url, site, "NULL", "SELECT 'L1' AS lot UNION ALL SELECT 'L2'")
    _insert(url, site, "1", "SELECT 'L3' AS lot")
    report = ingest(home, site)
    assert report.rows_in == 1
    assert any("2 rows without changed" in note for note in report.notes)
