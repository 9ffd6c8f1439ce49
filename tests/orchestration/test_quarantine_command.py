"""`cellworks quarantine`: what did not fit is listed, mended and taken in once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestration.cli.main import app
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.ingest.run import ingest
from pipelines.lake.connection import reader, writer
from pipelines.lake.home import Home

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
FEED = "mes__batch_material"
HEADER = "slurry_batch_id,material_lot_id,material_code,mass_kg,event_at,known_at\n"
Quarantine = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "site"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").ensure()


@pytest.fixture
def quarantine(folder: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> Quarantine:
    """Runs `cellworks quarantine ... --json` and returns what it prints."""
    monkeypatch.setenv("CELLWORKS_HOME", str(home.root))
    monkeypatch.setenv("CELLWORKS_SITE", str(folder))

    def run(*arguments: str) -> Any:
        why = ("--why", "test") if arguments[0] == "replay" else ()
        result = CliRunner().invoke(app, ["quarantine", *arguments, *why, "--json"], catch_exceptions=False)
        told = json.loads(result.stdout)
        assert result.exit_code == (3 if isinstance(told, dict) and told.get("state") == "requested" else 0)
        return told

    return run


def _drop(home: Home, name: str, content: str) -> None:
    (home.drop_dir / FEED).mkdir(parents=True, exist_ok=True)
    (home.drop_dir / FEED / name).write_text(content, encoding="utf-8")


def _line(batch: str, mass: float) -> str:
    return f"{batch},L1,lfp,{mass},2026-09-02 00:00:00,2026-09-02 01:00:00\n"


def _raw(home: Home) -> list[tuple[Any, ...]]:
    with reader(home) as con:
        return con.execute(f"SELECT slurry_batch_id, _source FROM raw.{FEED} ORDER BY ALL").fetchall()


def test_a_row_comes_in_once_after_the_plan_was_mended(folder: Path, home: Home, quarantine: Quarantine) -> None:
    _drop(home, "a.csv", HEADER + _line("B1", 10) + _line("B2", 12_000))
    ingest(home, load_site(folder))
    [record] = quarantine("list", "--feed", FEED)
    assert (record["source"], record["position"]) == (f"{FEED}/a.csv", 3)
    assert "outside 0 to 10000 kg" in record["reason"]
    assert record["raw_text"].startswith("B2,L1,lfp,12000")
    assert quarantine("replay") == {"rows_in": 0, "still_open": 1, "affected_days": {}}
    feeds = folder / "feeds.yaml"
    feeds.write_text(feeds.read_text(encoding="utf-8").replace("max: 10000}", "max: 20000}"), encoding="utf-8")
    told = quarantine("replay", str(record["quarantine_id"]))
    assert told == {"rows_in": 1, "still_open": 0, "affected_days": {FEED: ["2026-09-02"]}}
    assert quarantine("replay")["rows_in"] == 0
    assert _raw(home) == [("B1", f"{FEED}/a.csv"), ("B2", f"{FEED}/a.csv")]
    assert quarantine("list") == []
    assert [each["status"] for each in quarantine("list", "--all")] == ["replayed"]


@pytest.mark.parametrize("has_night_between", [False, True])
def test_a_file_comes_in_once_after_it_was_mended(
    folder: Path, home: Home, quarantine: Quarantine, has_night_between: bool
) -> None:
    _drop(home, "a.csv", (HEADER + _line("B1", 10)).replace(",", ";"))
    ingest(home, load_site(folder))
    assert "separated by ';'" in quarantine("list")[0]["reason"]
    _drop(home, "a.csv", HEADER + _line("B1", 10))
    if has_night_between:
        assert ingest(home, load_site(folder)).rows_in == 1
    assert quarantine("replay")["rows_in"] == (0 if has_night_between else 1)
    assert _raw(home) == [("B1", f"{FEED}/a.csv")]
    assert ingest(home, load_site(folder)).batch_id is None


STEERS = {"erases the line above": "\x1b[1A\x1b[2K", "C1": "\x9b2J", "turns the writing": "\u202e", "a tab": "\t"}


@pytest.mark.parametrize("hostile", STEERS.values(), ids=STEERS.keys())
def test_what_a_plant_delivered_does_not_steer_the_terminal(
    folder: Path, home: Home, quarantine: Quarantine, hostile: str
) -> None:
    _drop(home, "a.csv", HEADER + _line(f"B{hostile}1", 12_000))
    ingest(home, load_site(folder))
    assert hostile in quarantine("list")[0]["raw_text"], "kept as it was delivered"
    shown = CliRunner().invoke(app, ["quarantine", "list"], catch_exceptions=False).stdout
    assert hostile not in shown
    assert hostile[0].encode("unicode_escape").decode() in shown


@pytest.mark.parametrize("why", ["fine\n7  2026-11-27 12:00 UTC  promotion done: all, by li", *STEERS.values()])
def test_a_reason_that_would_forge_a_line_of_the_audit_is_refused(quarantine: Quarantine, why: str) -> None:
    with pytest.raises(CellworksError, match="no reason that can be kept"):
        CliRunner().invoke(app, ["quarantine", "replay", "--why", why], catch_exceptions=False)


def test_a_forged_line_that_the_audit_holds_already_is_shown_as_what_it_is(
    home: Home, folder: Path, quarantine: Quarantine
) -> None:
    _drop(home, "a.csv", HEADER + _line("B1", 10))
    ingest(home, load_site(folder))
    quarantine("replay")
    forged = "7  2026-11-27 12:00 UTC  promotion done: all, by li"
    with writer(home, why="as before reasons were looked at") as con:
        con.execute("UPDATE lake.ops.act SET why = ?", [f"fine\n{forged}"])
    shown = CliRunner().invoke(app, ["audit", "list"], catch_exceptions=False).stdout
    assert f"fine\\n{forged}" in shown


def test_a_record_that_is_not_open_is_refused(folder: Path, home: Home, quarantine: Quarantine) -> None:
    _drop(home, "a.csv", HEADER + _line("B1", 10))
    ingest(home, load_site(folder))
    with pytest.raises(CellworksError, match="no such open record"):
        quarantine("replay", "17")


def test_a_second_person_confirms_the_records_that_the_first_saw_and_no_others(
    folder: Path, home: Home, quarantine: Quarantine, as_user: Callable[[str], None]
) -> None:
    with (folder / "site.yaml").open("a", encoding="utf-8") as file:
        file.write("\naccess:\n  roles: {engineer: {people: [bo, li, mo]}, admin: {people: [eve]}}\n")
        file.write("  second_person: [quarantine_replay]\n")
    _drop(home, "a.csv", HEADER + "".join(_line(f"B{number}", 12_000) for number in range(3)))
    ingest(home, load_site(folder))
    as_user("bo")
    assert quarantine("replay")["state"] == "requested"
    _drop(home, "b.csv", HEADER + _line("B9", 13_000))
    ingest(home, load_site(folder))
    as_user("li")
    assert quarantine("replay")["state"] == "requested", "another record came between: a request of its own"
    as_user("mo")
    assert quarantine("replay")["still_open"] == 4
    with reader(home) as con:
        told = con.execute(
            "SELECT who, phase, detail FROM lake.ops.act WHERE act = 'quarantine_replay' ORDER BY number"
        ).fetchall()
    assert [each[:2] for each in told] == [("bo", "requested"), ("li", "requested"), ("mo", "confirmed")]
    first, second = (json.loads(detail)["ids"] for *_, detail in told[:2])
    assert first == "1-3"
    assert second == "1-4"
