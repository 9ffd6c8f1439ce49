"""The audit comes along with an instance, its note outside the lake as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli import acts
from orchestration.cli.main import app
from orchestration.environment import default_site
from orchestration.moving.backup import backup
from orchestration.moving.restore import restore
from orchestration.plant import Plant
from pipelines.access import anchor
from pipelines.access.chain import Entry
from pipelines.access.ledger import record, verify
from pipelines.control_plan.site import Site, load_site
from pipelines.lake.connection import writer
from pipelines.lake.home import Home
from tests.servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.servers]


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(default_site())


def _go_to_new(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.instance().items():
        monkeypatch.setenv(name, value)


def _act(home: Home, subject: str) -> None:
    with writer(home, why="test") as con:
        record(home, con, Entry("rollback", "granted", subject, "ana", "approver", "operating_system", "test", "{}"))


def test_the_note_moves_to_servers_and_comes_back_from_a_backup(
    instance: Home, servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, site: Site
) -> None:
    for name in ("DAGSTER_HOME", "CELLWORKS_DAGSTER_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("CELLWORKS_SITE", str(site.folder))
    for subject in ("a", "b"):
        _act(instance, subject)
    _go_to_new(servers, monkeypatch)
    migrate = ["migrate", "--json"]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as once:  # moved, and killed before the audit tells it
        once.setattr(acts, "record_done", die)
        assert CliRunner().invoke(app, migrate).exit_code != 0
    assert verify(instance)[1] is None
    for _ in range(2):
        assert json.loads(CliRunner().invoke(app, migrate, catch_exceptions=False).stdout)["moved"] is False
    assert [row.entry.act for row in verify(instance)[0]] == ["rollback", "rollback", "migration"]
    moved_to = instance.stores.data_path
    _act(instance, "c")
    noted = anchor.read(instance)
    backup(Plant(site=site, home=instance), tmp_path / "backup")
    _go_to_new(servers, monkeypatch)
    again = Home(tmp_path / "again")
    restore(Plant(site=site, home=again), tmp_path / "backup")
    rows, fault = verify(again)
    assert (fault, anchor.read(again)) == (None, noted)
    assert [row.entry.subject for row in rows] == ["a", "b", moved_to, "c"]
