"""Acts by command at a site with roles: who may, the second person, the audit, and what a forger leaves behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from orchestration.cli.main import app
from pipelines.actions.propose import Origin, propose
from pipelines.actions.tables import ensure_tables
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from pipelines.lake.schemas import bootstrap

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
ACCESS = """
access:
  roles:
    admin: {people: [eve, li]}
    engineer: {people: [bo]}
  second_person: [write_mode]
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").ensure()


@pytest.fixture
def act(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, as_user: Callable[[str], None]
) -> Callable[..., Any]:
    """Runs a command with --json as a user of the machine; gives its exit code and what it printed."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "site"))
    with (folder / "site.yaml").open("a", encoding="utf-8") as file:
        file.write(ACCESS)
    bootstrap(home, load_site(folder))
    monkeypatch.setenv("CELLWORKS_HOME", str(home.root))
    monkeypatch.setenv("CELLWORKS_SITE", str(folder))

    def run(user: str, *arguments: str) -> tuple[int, Any]:
        as_user(user)
        result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        return result.exit_code, json.loads(result.stdout)

    return run


def test_a_mode_needs_two_admins_and_the_audit_tells_who(home: Home, act: Callable[..., Any]) -> None:
    accept = ("actions", "accept-modes", "--why", "a calm month")
    with pytest.raises(CellworksError, match="bo may not do this: write_mode"):
        act("bo", *accept)
    with pytest.raises(CellworksError, match="'li' is not who you are"):
        act("eve", *accept, "--who", "li")
    code, asked = act("eve", *accept)
    assert (code, asked["state"]) == (3, "requested")
    (waits,) = act("bo", "audit", "list", "--waiting")[1]
    assert (waits["act"], waits["who"], waits["phase"]) == ("write_mode", "eve", "requested")
    with pytest.raises(CellworksError, match="waits for a second person") as again:
        act("eve", *accept)
    assert f"before {waits['until'][:16].replace('T', ' ')} UTC" in again.value.mend
    code, done = act("li", *accept)
    assert (code, done["accepted_by"]) == (0, "li")
    assert act("bo", "audit", "list", "--waiting") == (0, [])
    replay = ("quarantine", "replay", "--why", "unit mended")
    assert act("bo", *replay)[1]["rows_in"] == 0
    with pytest.raises(CellworksError, match="mallory may not do this"):
        act("mallory", *replay)
    with pytest.raises(CellworksError, match="bo may not do this: promotion"):
        act("bo", "promote", "finishing/grading", "3", "--why", "trial")
    told = [(each["who"], each["role"], each["act"], each["phase"]) for each in act("bo", "audit", "list")[1]]
    assert told == [
        ("bo", "engineer", "quarantine_replay", "granted"),
        ("li", "admin", "write_mode", "confirmed"),
        ("eve", "admin", "write_mode", "requested"),
        ("eve", "admin", "access_adopt", "granted"),
    ]
    code, found = act("bo", "audit", "verify")
    assert (code, found["rows"], found["is_whole"], found["fault"]) == (0, 4, True, None)
    assert act("bo", "audit", "verify", "--head", found["head"])[0] == 0
    with writer(home, why="a forger") as con:
        con.execute("UPDATE lake.ops.act SET who = 'li' WHERE number = 2")
    code, forged = act("bo", "audit", "verify")
    assert (code, forged["is_whole"], forged["fault"]["number"]) == (1, False, 2)
    with pytest.raises(CellworksError, match="another form"):
        act("bo", "audit", "verify", "--head", "3")


def test_an_act_that_was_changed_is_refused_by_name_and_not_accepted(home: Home, act: Callable[..., Any]) -> None:
    act("bo", "quarantine", "replay", "--why", "unit mended")
    with writer(home, why="a forger") as con:
        con.execute("UPDATE lake.ops.act SET detail = 'no json'")
    with pytest.raises(CellworksError, match="nothing here that an admin could accept") as refused:
        act("eve", "audit", "accept", "--why", "looked into it")
    assert refused.value.found.startswith("row 1: ")


def test_a_lost_note_and_a_forged_decision_stay_faults_until_an_admin_accepts_them(
    home: Home, act: Callable[..., Any]
) -> None:
    replay, accept = ("quarantine", "replay", "--why", "unit mended"), ("audit", "accept", "--why", "looked into it")
    for _ in range(3):
        act("bo", *replay)
    with pytest.raises(CellworksError, match="nothing here that an admin could accept"):
        act("eve", *accept)
    with writer(home, why="a forger") as con:
        con.execute("DELETE FROM lake.ops.act WHERE number > 1")
    (home.root / "audit_head.json").unlink()
    act("bo", *replay)
    assert act("bo", "audit", "verify")[0] == 1, "the next act does not hide it"
    with pytest.raises(CellworksError, match="bo may not do this: audit_accept"):
        act("bo", *accept)
    assert act("eve", *accept)[1] == {"accepted_by": "eve", "note": None, "untold": None}
    assert act("bo", "audit", "verify")[0] == 0

    with writer(home, why="a forger") as con:
        ensure_tables(con)
        row = "INSERT INTO lake.ops.action_audit SELECT ?, 1, 'approved', 'li', 'forged', now()::TIMESTAMP"
        con.execute(row, ["0a1b2c3d"])
    code, found = act("bo", "audit", "verify")
    assert (code, found["fault"]["what"]) == (1, "ops.action_audit tells of 0a1b2c3d by li, and no act does")
    act("eve", *accept)
    assert act("bo", "audit", "verify")[0] == 0
    with writer(home, why="a forger") as con:
        con.execute(row, ["4e5f6a7b"])
    assert act("bo", "audit", "verify")[0] == 1, "just those that the admin saw were accepted"


def test_what_changes_much_is_told_before_it_begins_and_when_it_is_done(
    home: Home, act: Callable[..., Any], tmp_path: Path
) -> None:
    for command in (("backup", str(tmp_path / "kept")), ("prune",), ("restore", str(tmp_path / "kept"))):
        with pytest.raises(CellworksError, match=f"bo may not do this: {command[0]}"):
            act("bo", *command)
    assert act("eve", "backup", str(tmp_path / "kept"))[0] == 0
    (tmp_path / "p.zip").write_text("no pack", encoding="utf-8")
    with pytest.raises(CellworksError):
        act("bo", "pack", "import", str(tmp_path / "p.zip"))
    told = [(each["who"], each["act"], each["phase"], each["subject"]) for each in act("bo", "audit", "list")[1]]
    assert told == [
        ("bo", "pack_import", "granted", "p.zip"),
        ("eve", "backup", "done", str(tmp_path / "kept")),
        ("eve", "backup", "granted", str(tmp_path / "kept")),
        ("eve", "access_adopt", "granted", "demo"),
    ]


def test_an_action_that_two_must_approve_waits_for_the_other_and_says_until_when(
    home: Home, act: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "site" / "site.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("  alarm: {mode: advise,", "  alarm: {mode: advise, approvals: 2,"), encoding="utf-8")
    moment = datetime(2026, 9, 5, 4, 0)  # noqa: DTZ001 - the lake holds UTC without a zone
    rows = pa.table({"target_id": ["m1", "m2"], "priority": [1.0, 2.0], "reason": ["risk", "risk"]})
    with writer(home, why="a plant at work") as con:
        con.execute(
            "INSERT INTO lake.ops.ingest_offset "
            "(source, feed, fingerprint, status, note, rows_in, rows_quarantined, max_known_at, batch_id, ingested_at) "
            "VALUES ('drop', 'f', 'x', 'done', '', 0, 0, ?, 1, ?)",
            [moment, moment],
        )
        propose(con, load_site(tmp_path / "site"), Origin("watch", "alarm", moment), rows)
    first, second = (each["action_id"] for each in act("bo", "actions", "list")[1])
    approve = ("actions", "approve", first, "--why", "seen on the line")
    code, asked = act("eve", *approve)
    assert (code, asked["state"], asked["until"]) == (3, "endorsed", "2026-09-05T12:00:00")
    (waits,) = act("bo", "audit", "list", "--waiting")[1]
    assert (waits["act"], waits["who"], waits["until"]) == ("approve_action", "eve", "2026-09-05T12:00:00")
    assert waits["detail"]["action_id"] == first
    shown = CliRunner().invoke(app, ["audit", "list", "--waiting"], catch_exceptions=False).stdout
    assert "the plant is at 2026-09-05 12:00 UTC" in " ".join(shown.split())
    code, done = act("li", *approve)
    assert (code, done["state"], done["until"]) == (0, "approved", None)
    assert act("bo", "audit", "list", "--waiting") == (0, [])
    assert act("eve", "actions", "approve", second, "--why", "seen")[0] == 3
    with writer(home, why="the plant goes on") as con:
        con.execute("UPDATE lake.ops.ingest_offset SET max_known_at = ?", [moment + timedelta(hours=8, seconds=1)])
    assert act("bo", "audit", "list", "--waiting") == (0, []), "it has lapsed"


@pytest.mark.parametrize("command", [("quarantine", "replay"), ("rollback", "finishing/grading")])
def test_a_reason_is_given_or_the_command_is_refused(command: tuple[str, ...], act: Callable[..., Any]) -> None:
    result = CliRunner().invoke(app, [*command])
    assert (result.exit_code, "--why" in result.output) == (2, True)
