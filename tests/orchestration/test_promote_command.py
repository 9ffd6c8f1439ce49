"""A champion is taken away and made by commands, each confirmed by a second person where the site says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models.registry.versions import champion
from orchestration.cli.main import app
from orchestration.environment import default_site
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import wall_now
from tests.orchestration.conftest import Workshop

pytestmark = pytest.mark.slow
ACCESS = """
access:
  roles:
    approver: {people: [ana, li]}
    admin: {people: [eve]}
  second_person: [promotion, retirement]
  request_valid_h: 6
"""


@pytest.fixture
def act(
    trained: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_user: Callable[[str], None]
) -> Callable[..., Any]:
    """Runs a command with --json as a user of the machine, at a site with roles over the trained instance.

    Its exit code is 3 where the act waits for a second person, else 0.
    """
    folder = Path(shutil.copytree(default_site(), tmp_path / "site"))
    with (folder / "site.yaml").open("a", encoding="utf-8") as file:
        file.write(ACCESS)
    monkeypatch.setenv("CELLWORKS_SITE", str(folder))

    def run(user: str, *arguments: str) -> Any:
        as_user(user)
        result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        told = json.loads(result.stdout)
        assert result.exit_code == (3 if isinstance(told, dict) and "state" in told else 0), result.stdout
        return told

    return run


def test_a_champion_goes_and_comes_back_by_two_people_each_and_the_audit_tells_it(
    trained: Workshop, act: Callable[..., Any]
) -> None:
    def acting() -> str | None:
        found = champion(trained.here.home, "mine.one", audited=True)
        return None if found is None or found.version is None else found.version.number

    away, back = ("retire", "mine/one", "--why", "gauge broken"), ("promote", "mine/one", "1", "--why", "gauge mended")
    with pytest.raises(CellworksError, match="bo may not do this: retirement"):
        act("bo", *away)
    asked_at, asked = wall_now(), act("ana", *away)
    assert asked["state"] == "requested"
    assert timedelta(0) <= datetime.fromisoformat(asked["until"]) - asked_at - timedelta(hours=6) < timedelta(minutes=5)
    assert acting() == "1"
    assert act("li", *away)["champion_version"] is None
    assert acting() is None
    with pytest.raises(CellworksError, match="mine/one has no champion to take away"):
        act("li", *away)
    assert act("bo", "audit", "list", "--waiting") == []
    asked = act("ana", *back)
    assert asked["state"] == "requested"
    assert acting() is None
    (waits,) = act("bo", "audit", "list", "--waiting")
    assert (waits["act"], waits["subject"], waits["who"], waits["why"]) == (
        "promotion",
        "mine.one",
        "ana",
        "gauge mended",
    )
    assert waits["detail"] == {"from": None, "to": "1"}
    assert abs(datetime.fromisoformat(waits["until"]) - datetime.fromisoformat(asked["until"])) < timedelta(minutes=5)
    shown = CliRunner().invoke(app, ["audit", "list", "--waiting"], catch_exceptions=False).stdout
    assert f"promotion: mine.one, by ana, approver; waits until {waits['until'][:10]}" in shown
    assert "to 1" in shown
    assert act("li", *back)["champion_version"] == "1"
    assert acting() == "1"
    assert act("bo", "audit", "list", "--waiting") == []
    told = [(each["who"], each["act"], each["phase"]) for each in act("ana", "audit", "list")][:8]
    assert told == [
        ("li", "promote", "done"),
        ("li", "promote", "intent"),
        ("li", "promotion", "confirmed"),
        ("ana", "promotion", "requested"),
        ("li", "retire", "done"),
        ("li", "retire", "intent"),
        ("li", "retirement", "confirmed"),
        ("ana", "retirement", "requested"),
    ]
    assert act("ana", "audit", "verify")["is_whole"]
