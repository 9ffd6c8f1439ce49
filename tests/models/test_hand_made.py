"""A registry in which others than the platform write too: what it says of a version is not believed, nor its aliases.

The versions are files of a few bytes that a person has signed for; nothing is trained.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models.context import ModelContext
from models.registry.by_person import appoint, retire, rollback
from models.registry.client import open_home
from models.registry.contents import BUNDLE, UntrustedFilesError, tags_of
from models.registry.fetched import forget_all_but
from models.registry.revocation import revoke
from models.registry.versions import Version, aliases, champion, clearance, get_version, sign_override
from models.spec import PredictiveSpec
from orchestration.cli.console import WAITS
from orchestration.cli.main import app
from orchestration.environment import default_site
from pipelines.control_plan.access import Access
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home
from tests.servers import NOBODYS

NAME = "finishing.cells"


@dataclass
class Registry:
    """A model with cleared versions 1 to 3, of which none is champion."""

    spec: PredictiveSpec
    ctx: ModelContext
    client: Any
    folders: dict[str, Path]

    def promote(self, *numbers: str) -> None:
        for number in numbers:
            appoint(self.spec, self.ctx, number, "test", reigned=self.named("champion"))

    def named(self, alias: str) -> str | None:
        return aliases(self.client, NAME).get(alias)

    def by_hand(self, alias: str, number: str) -> None:
        self.client.set_registered_model_alias(NAME, alias, number)

    def retire(self) -> None:
        retire(self.spec, self.ctx, "test", reigned=str(self.named("champion")))

    def roll_back(self) -> str:
        return rollback(self.ctx.home, NAME, "ana", "test", audited=self.ctx.is_guarded).sentence

    def damage(self, number: str) -> None:
        (self.folders[number] / BUNDLE / "bundle.json").write_text("damaged")

    def acting(self) -> str | None:
        found = champion(self.ctx.home, NAME, client=self.client, audited=self.ctx.is_guarded)
        return None if found is None or found.version is None else found.version.number


def _register(client: Any, home: Home, name: str, folder: Path, run_id: str) -> None:
    (folder / BUNDLE).mkdir(parents=True)
    (folder / BUNDLE / "bundle.json").write_text(folder.name)
    client.create_model_version(name, folder.as_uri(), run_id, tags=tags_of(home, name, run_id, folder))


@pytest.fixture
def registry(home: Home, tmp_path: Path, solution: Callable[..., PredictiveSpec]) -> Registry:
    client = open_home(home)
    client.create_registered_model(NAME)
    experiment = client.create_experiment("cells", artifact_location=(home.root / "mlflow" / "artifacts").as_uri())
    folders = {number: tmp_path / f"model-{number}" for number in ("1", "2", "3")}
    for number, folder in folders.items():
        _register(client, home, NAME, folder, client.create_run(experiment).info.run_id)
        sign_override(home, NAME, number, "ana", "test")
    return Registry(solution("cells.parquet"), ModelContext(home, n_threads=1), client, folders)


@pytest.fixture
def guarded(registry: Registry) -> Registry:
    """The same at a site that names roles."""
    access = Access.model_validate({"roles": {"approver": {"people": ["ana"]}, "admin": {"people": ["li"]}}})
    site = load_site(default_site()).model_copy(update={"access": access})
    registry.ctx = replace(registry.ctx, site=site, actor="ana")
    return registry


def test_a_run_that_leads_out_of_the_home_is_an_alarm_and_nothing_is_touched(home: Home, tmp_path: Path) -> None:
    client = open_home(home)
    client.create_registered_model(NAME)
    for made, run_id in enumerate(("../../victim", str(tmp_path / "victim"), "A" * 32, ""), 1):
        number = str(made)
        victim = tmp_path / f"victim-{number}"
        victim.mkdir()
        (victim / "kept.txt").write_text("kept")
        client.create_model_version(NAME, "s3://elsewhere/model", run_id)
        client.set_registered_model_alias(NAME, "champion", number)
        found = champion(home, NAME)
        assert found is not None
        assert found.version is None
        assert "was not made by a training run" in str(found.alarm)
        with pytest.raises(UntrustedFilesError, match="was not made by a training run"):
            get_version(client, NAME, number, home).check()
        forget_all_but(home, {(run_id, number)})
        assert [each.name for each in victim.iterdir()] == ["kept.txt"]
    assert not (home.root / "fetched").exists()


@pytest.mark.parametrize("location", ["s3://elsewhere/model", "{root}x/model", "{root}/../model", "{root}"])
def test_files_outside_the_instances_store_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    for name, value in NOBODYS.items():
        monkeypatch.setenv(name, value)
    home = Home(tmp_path / "home")
    address = location.format(root=home.stores.mlflow_artifacts)
    with pytest.raises(UntrustedFilesError, match="outside this instance's store"):
        Version(NAME, "1", "a" * 32, {}, address, home).check()
    assert not (home.root / "fetched").exists()


def test_a_rollback_goes_by_the_version_that_acts_and_not_by_an_alias_moved_by_hand(guarded: Registry) -> None:
    guarded.promote("1", "2")
    guarded.by_hand("champion", "3")
    assert guarded.acting() == "2"
    assert guarded.roll_back() == "rolled back from version 2 by ana: test"
    assert (guarded.acting(), guarded.named("champion"), guarded.named("previous")) == ("1", "1", "2")
    guarded.roll_back()
    assert (guarded.acting(), guarded.named("previous")) == ("2", "1"), "version 3 was never promoted"


def test_where_roles_are_named_nobody_rolls_back_to_what_a_hand_called_previous(guarded: Registry) -> None:
    guarded.promote("1", "2")
    guarded.by_hand("previous", "3")
    with pytest.raises(CellworksError, match="no finished move of the audit") as refused:
        guarded.roll_back()
    assert refused.value.expected == "version 1"
    assert guarded.acting() == "2"
    guarded.by_hand("previous", "1")
    guarded.roll_back()
    assert guarded.acting() == "1"


def test_on_a_laptop_an_alias_moved_by_hand_is_what_is_rolled_back_from(registry: Registry) -> None:
    registry.promote("1", "2")
    registry.by_hand("champion", "3")
    assert registry.roll_back() == "rolled back from version 3 by ana: test"
    registry.roll_back()
    assert (registry.acting(), registry.named("previous")) == ("3", "1")


@pytest.mark.parametrize("site", ["registry", "guarded"])
def test_what_a_person_took_away_acts_no_more_until_a_person_brings_it_back(
    site: str, request: pytest.FixtureRequest
) -> None:
    here: Registry = request.getfixturevalue(site)
    here.promote("2", "3")
    here.retire()
    here.promote("1")
    here.damage("1")
    assert here.acting() == "2", "version 3 was retired"
    here.promote("3")
    assert here.acting() == "3"
    here.promote("2")
    here.damage("2")
    assert here.acting() == "3", "it was brought back"


@pytest.mark.parametrize("site", ["registry", "guarded"])
def test_what_was_rolled_back_from_acts_no_more(site: str, request: pytest.FixtureRequest) -> None:
    here: Registry = request.getfixturevalue(site)
    here.promote("1", "2")
    here.roll_back()
    here.damage("1")
    assert here.acting() is None
    here.roll_back()
    assert here.acting() == "2"


@pytest.mark.parametrize("site", ["registry", "guarded"])
def test_a_version_whose_signature_was_taken_back_acts_no_more(site: str, request: pytest.FixtureRequest) -> None:
    here: Registry = request.getfixturevalue(site)
    here.promote("1", "2")
    told = revoke(here.spec, replace(here.ctx, actor="li"), "2")
    assert told == "ana's signature for version 2 of finishing/cells taken back by li; it may not act"
    assert here.acting() == "1"
    with pytest.raises(CellworksError, match=r"nobody signed for version 2 of finishing\.cells"):
        revoke(here.spec, here.ctx, "2")
    with pytest.raises(CellworksError, match="may not act"):
        here.promote("2")
    sign_override(here.ctx.home, NAME, "2", "ana", "after all")
    assert here.acting() == "2"


def test_a_signature_is_taken_back_by_two_people_and_the_audit_tells_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_user: Callable[[str], None]
) -> None:
    site = Path(shutil.copytree(default_site(), tmp_path / "site"))
    with (site / "site.yaml").open("a", encoding="utf-8") as file:
        file.write("access:\n  roles:\n    approver: {people: [ana, li]}\n    admin: {people: [eva]}\n")
        file.write("  second_person: [revocation]\n")
    monkeypatch.setenv("CELLWORKS_HOME", str(home.root))
    monkeypatch.setenv("CELLWORKS_SITE", str(site))
    client, solution, name = open_home(home), "electrode/mixing_end_point", "electrode.mixing_end_point"
    client.create_registered_model(name)
    _register(client, home, name, tmp_path / "model", client.create_run("0").info.run_id)

    def act(user: str, *arguments: str, code: int = 0) -> Any:
        as_user(user)
        result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == code, result.stdout
        return json.loads(result.stdout)

    back = ("override", solution, "1", "--revoke", "--why", "lots mixed up")
    with pytest.raises(CellworksError, match=r"nobody signed for version 1 of electrode\.mixing_end_point"):
        act("ana", *back)
    act("ana", "override", solution, "1", "--why", "new product")
    with pytest.raises(CellworksError, match="bo may not do this: revocation"):
        act("bo", *back)
    assert act("ana", *back, code=WAITS)["state"] == "requested"
    signed = get_version(client, name, "1", home)
    assert clearance(home, signed) == "override"
    assert act("li", *back)["sentence"] == (
        "ana's signature for version 1 of electrode/mixing_end_point taken back by li; it may not act"
    )
    version = get_version(client, name, "1", home)
    assert clearance(home, version) is None
    assert not [key for key in version.tags if key.startswith("override")]
    told = [(each["who"], each["act"], each["phase"]) for each in act("ana", "audit", "list")]
    assert told == [
        ("li", "revocation", "confirmed"),
        ("ana", "revocation", "requested"),
        ("ana", "override", "granted"),
        ("ana", "access_adopt", "granted"),
    ]
    assert act("ana", "audit", "verify")["is_whole"]
    for key in ("override_by", "override_why", "override_seal"):  # whoever noted them puts them back
        client.set_model_version_tag(name, "1", key, signed.tags[key])
    assert clearance(home, get_version(client, name, "1", home)) is None
    act("li", "override", solution, "1", "--why", "the lots were sorted out")
    assert clearance(home, get_version(client, name, "1", home)) == "override"
