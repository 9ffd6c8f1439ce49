"""Rules of who may do what are those that the lake knows: others are refused, and to adopt them is an act."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from models.registry.audit import Move, open_moves, write_phase
from orchestration.cli.main import app
from orchestration.plant import make_lake, plant
from pipelines.access.chain import Entry
from pipelines.access.ledger import record
from pipelines.actions.propose import Origin, propose
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "infra" / "sites" / "demo"
ROLES = "\naccess:\n  roles:\n    admin: {people: [eve, li]}\n    engineer: {people: [bo]}\n"
TWO = f"{ROLES}  second_person: [access_adopt]\n"
REPLAY = ("quarantine", "replay", "--why", "unit mended")
ADOPT = ("access", "adopt", "--why", "mallory joins")
OTHERS = {
    "no roles": "",
    "another admin": ROLES.replace("eve", "mallory"),
    "no second person": ROLES,
    "another engineer": TWO.replace("[bo]", "[bo, mallory]"),
}


class Line:
    """A lake, and the folder whose rules it goes by."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, as_user: Callable[[str], None]) -> None:
        self.folder, self._patch, self._as_user = folder, monkeypatch, as_user
        self.use("site", "home")

    def use(self, site: str, home: str) -> None:
        """Commands are given with this site folder and this home from now on."""
        self._patch.setenv("CELLWORKS_SITE", str(self.folder / site))
        self._patch.setenv("CELLWORKS_HOME", str(self.folder / home))

    def write(self, access: str, site: str = "site") -> None:
        """Let a folder have these rules."""
        if not (self.folder / site).exists():
            shutil.copytree(DEMO, self.folder / site)
        text = (DEMO / "site.yaml").read_text(encoding="utf-8")
        (self.folder / site / "site.yaml").write_text(text + access, encoding="utf-8")

    def run(self, user: str, *arguments: str) -> Any:
        """What a command with --json prints for a user of the machine."""
        self._as_user(user)
        result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        return json.loads(result.stdout)

    def acts(self) -> list[tuple[str, str, str]]:
        """Who did what, the oldest first."""
        return [(each["who"], each["act"], each["phase"]) for each in self.run("bo", "audit", "list")][::-1]


@pytest.fixture
def line(tmp_path: Path, stores: str, monkeypatch: pytest.MonkeyPatch, as_user: Callable[[str], None]) -> Line:
    made = Line(tmp_path, monkeypatch, as_user)
    made.write(TWO)
    make_lake(plant())
    return made


@pytest.mark.parametrize("other", OTHERS)
def test_a_folder_with_other_rules_does_nothing_in_a_lake_that_knows_some(line: Line, stores: str, other: str) -> None:
    line.run("bo", *REPLAY)
    before = line.acts()
    assert before == [("cellworks", "access_adopt", "granted"), ("bo", "quarantine_replay", "granted")]
    if stores == "servers":  # where another home reaches the same lake; one in files is its home's alone
        line.write(OTHERS[other], "elsewhere")
        line.use("elsewhere", "another")
    else:
        line.write(OTHERS[other])
    user = "mallory" if other == "another admin" else "li"
    copy = str(line.folder / "copy")
    for command in (REPLAY, ("backup", copy), ("actions", "accept-modes", "--why", "x"), ("init",), ("nightly",)):
        with pytest.raises(CellworksError, match=r"written otherwise here than this lake knows") as told:
            line.run(user, *command)
        assert told.value.where.endswith("site.yaml")
        assert "adopted by cellworks" in told.value.expected
        assert "access adopt" in told.value.mend
    assert not (line.folder / "copy").exists()
    assert line.acts() == before
    assert line.run("bo", "audit", "verify")["is_whole"]


def test_a_layout_without_a_gateway_takes_no_site_that_names_roles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_user: Callable[[str], None]
) -> None:
    line = Line(tmp_path, monkeypatch, as_user)
    line.write(TWO)
    monkeypatch.setenv("CELLWORKS_GATEWAY", "none")
    with pytest.raises(CellworksError, match="this layout has no gateway") as refused:
        line.run("eve", "init")
    assert "cellworks services up" in refused.value.mend
    assert not plant().home.has_lake
    line.write("")
    assert line.run("eve", "init")["site"] == "demo"


def test_another_name_of_the_site_is_another_site(line: Line) -> None:
    here = plant()
    text = (line.folder / "site" / "site.yaml").read_text(encoding="utf-8")
    (line.folder / "site" / "site.yaml").write_text(text.replace("name: demo", "name: other", 1), encoding="utf-8")
    with pytest.raises(CellworksError, match="written otherwise") as told:
        make_lake(plant())
    assert "site demo" in told.value.expected
    assert "they differ in name" in told.value.found
    assert here.site.name == "demo"


def test_neither_an_action_nor_a_promotion_is_written_under_other_rules(line: Line) -> None:
    here = plant()
    line.write(ROLES)
    other = load_site(line.folder / "site")
    move = Move("m", "promote", "mine.one", {}, {"champion": "1"}, "nightly", "passed")
    with pytest.raises(CellworksError, match="written otherwise"):
        write_phase(here.home, move, "intent", other)
    assert open_moves(here.home) == []
    origin = Origin("watch", "alarm", datetime(2026, 9, 5, 4, 0))  # noqa: DTZ001 - the lake holds UTC without a zone
    rows = pa.table({"target_id": ["m1"], "priority": [1.0], "reason": ["risk"]})
    with writer(here.home, why="test") as con:
        with pytest.raises(CellworksError, match="written otherwise"):
            propose(con, other, origin, rows)
        assert propose(con, here.site, origin, rows).proposed == 1
    write_phase(here.home, move, "intent", here.site)
    assert [each.move_id for each in open_moves(here.home)] == ["m"]


def test_other_rules_come_into_force_by_two_admins_of_those_in_force(line: Line) -> None:
    line.write(TWO.replace("[eve, li]", "[mallory, mo]"))
    for stranger in ("mallory", "bo"):
        with pytest.raises(CellworksError, match=f"{stranger} may not do this: access_adopt"):
            line.run(stranger, *ADOPT)
    assert line.run("eve", *ADOPT)["state"] == "requested"
    assert line.run("eve", "access", "show")["other"] == ["access.roles.admin"]
    with pytest.raises(CellworksError, match="waits for a second person"):
        line.run("eve", *ADOPT)
    with pytest.raises(CellworksError, match="written otherwise"):
        line.run("bo", *REPLAY)
    assert line.run("li", *ADOPT)["adopted_by"] == "li"
    shown = line.run("bo", "access", "show")
    assert (shown["other"], shown["adopted"]["by"], shown["adopted"]["row"]) == ([], "li", 3)
    line.run("bo", *REPLAY)
    with pytest.raises(CellworksError, match="in force already"):
        line.run("mallory", *ADOPT)
    line.write(TWO)
    with pytest.raises(CellworksError, match="eve may not do this: access_adopt"):
        line.run("eve", *ADOPT)
    with pytest.raises(CellworksError, match="written otherwise"):
        line.run("bo", *REPLAY)
    assert line.acts()[1:] == [
        ("eve", "access_adopt", "requested"),
        ("li", "access_adopt", "confirmed"),
        ("bo", "quarantine_replay", "granted"),
    ]
    assert line.run("bo", "audit", "verify")["is_whole"]


def test_what_is_written_otherwise_and_means_the_same_is_the_same(line: Line) -> None:
    line.write(
        "\naccess:\n  identity: operating_system\n  request_valid_h: 24.0\n  second_person: [access_adopt]\n  roles:\n"
        "    engineer: {people: [bo, bo], groups: []}\n    admin: {people: [li, eve]}\n"
    )
    line.run("bo", *REPLAY)
    assert line.run("bo", "access", "show")["other"] == []


@pytest.mark.embedded
def test_a_lake_of_a_release_without_rules_takes_them_at_its_first_act(line: Line) -> None:
    with writer(Home(line.folder / "home"), why="as an earlier release") as con:
        con.execute("DELETE FROM lake.ops.act")
    (line.folder / "home" / "audit_head.json").unlink()
    with writer(Home(line.folder / "home"), why="as an earlier release") as con:
        earlier = Entry("rollback", "granted", "a", "bo", "engineer", "operating_system", "test", "{}")
        record(Home(line.folder / "home"), con, earlier)
    line.run("bo", *REPLAY)
    assert line.acts() == [
        ("bo", "rollback", "granted"),
        ("bo", "access_adopt", "granted"),
        ("bo", "quarantine_replay", "granted"),
    ]
    why = line.run("bo", "audit", "list")[1]["why"]
    assert why == "the lake knew no rules; its acts up to 1 went by the site's file alone"
    with writer(Home(line.folder / "home"), why="a forger") as con:
        con.execute("UPDATE lake.ops.act SET detail = replace(detail, 'eve', 'mallory') WHERE act = 'access_adopt'")
    line.write(TWO.replace("eve", "mallory"))
    with pytest.raises(CellworksError, match="changed where they are kept"):
        line.run("bo", *REPLAY)


@pytest.mark.embedded
def test_where_no_roles_are_named_nobody_notices_anything(
    tmp_path: Path, stores: str, monkeypatch: pytest.MonkeyPatch, as_user: Callable[[str], None]
) -> None:
    line = Line(tmp_path, monkeypatch, as_user)
    line.write("")
    make_lake(plant())
    assert line.run("bo", "audit", "verify")["rows"] == 0
    line.run("bo", *REPLAY)
    assert line.acts() == [("bo", "quarantine_replay", "granted")]
    assert line.run("bo", "access", "show")["in_force"] is None
    with pytest.raises(CellworksError, match="no rules to adopt"):
        line.run("bo", *ADOPT)
    line.write(ROLES)
    with pytest.raises(CellworksError, match="bo may not do this: access_adopt"):
        line.run("bo", *ADOPT)
    assert line.run("eve", *ADOPT)["adopted_by"] == "eve"
    line.write("")
    with pytest.raises(CellworksError, match="written otherwise"):
        line.run("bo", *REPLAY)
    assert line.run("li", *ADOPT)["rules"] == {}
    line.run("bo", *REPLAY)


@pytest.mark.embedded
def test_commands_as_processes_refuse_and_adopt(line: Line) -> None:
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()

    def command(*arguments: str) -> tuple[int, str]:
        binary = str(Path(sys.executable).parent / "cellworks")
        named = {"CELLWORKS_HOME": str(line.folder / "fresh"), "CELLWORKS_SITE": str(line.folder / "site")}
        done = subprocess.run([binary, *arguments], capture_output=True, text=True, env=os.environ | named, check=False)
        return done.returncode, done.stderr

    line.write(ROLES.replace("eve", user))
    assert command("init")[0] == 0
    line.write("")
    code, said = command(*REPLAY)
    assert code == 2
    for word in ("written otherwise here", "adopted by cellworks", "access.roles.admin", "access adopt", "site.yaml"):
        assert word in said
    assert command("audit", "verify")[0] == 0
    line.write(ROLES.replace("eve", user).replace("[bo]", "[mo]"))
    assert command(*ADOPT)[0] == 0
    assert command(*REPLAY)[0] == 0
    assert command("audit", "verify")[0] == 0
