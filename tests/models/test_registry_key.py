"""Machines that share servers seal with one key: another one is refused, and told which is wanted and from where."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.registry import key
from models.registry.key import KEY_VARIABLE, id_of, registry_key
from models.registry.signing import is_sealed, seal
from orchestration.doctor.finding import Installation
from orchestration.doctor.stores import registry
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from tests.servers import Servers

WRONG = ("ff" * 31, "zz" * 32, "x", "ff" * 33)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine is another process, which has confirmed nothing yet."""
    monkeypatch.setattr(key, "_confirmed", set())
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def _two(folder: Path) -> tuple[Home, Home]:
    return Home(folder / "one"), Home(folder / "two")


def test_a_home_makes_its_key_once_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: registry_key(home), range(32)))) == 1
    assert len(registry_key(home)) == 32
    assert stat.S_IMODE((home.root / "registry.key").stat().st_mode) == 0o600
    assert [each.name for each in home.root.iterdir()] == ["registry.key"]


def test_the_environments_key_goes_before_the_homes_and_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = _two(tmp_path)
    sealed = seal(one, "text")
    assert not is_sealed(two, sealed, "text")
    monkeypatch.setenv(KEY_VARIABLE, registry_key(one).hex())
    assert is_sealed(two, sealed, "text")
    assert is_sealed(Home(tmp_path / "three"), sealed, "text")
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize("told", WRONG)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, told)
    with pytest.raises(CellworksError, match="64 hexadecimal digits") as refused:
        registry_key(Home(tmp_path))
    assert told not in str(refused.value).split() or len(told) < 2


@pytest.mark.parametrize("left", [b"", b"short", bytes(33)])
def test_a_file_that_holds_no_key_seals_nothing_and_stays_as_it_is(tmp_path: Path, left: bytes) -> None:
    file = tmp_path / "registry.key"
    file.write_bytes(left)
    for use in (lambda: seal(Home(tmp_path), "text"), lambda: is_sealed(Home(tmp_path), "", "text")):
        with pytest.raises(CellworksError, match=r"registry\.key holds no key") as refused:
            use()
        assert (refused.value.expected, refused.value.found) == ("32 bytes", f"{len(left)} bytes")
    assert file.read_bytes() == left


@pytest.mark.servers
def test_a_second_machine_with_another_key_or_none_is_told_which_to_copy(
    on_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_servers
    one, two = _two(tmp_path)
    sealed = seal(one, "verdict")
    for found in ("no key", None):
        key._confirmed.clear()
        if found is None:
            two.root.mkdir(exist_ok=True)
            (two.root / "registry.key").write_bytes(os.urandom(32))
            found = f"key {id_of((two.root / 'registry.key').read_bytes())}"
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(CellworksError, match="has not the registry key of the servers") as refused:
            is_sealed(two, sealed, "verdict")
        told = refused.value
        assert told.expected.startswith(f"key {id_of(registry_key(one))}, which {socket.gethostname()} noted at 20")
        assert told.found == found
        assert f"to {two.root / 'registry.key'} (mode 0600), or set {KEY_VARIABLE}" in told.mend
        assert registry_key(one).hex() not in str(told)
        [look] = [each for each in registry(Installation(two, None, two.stores)) if each.level == "error"]
        assert "has not the registry key of the servers" in look.what
        assert look.mend == told.mend
        assert sorted(tmp_path.rglob("*")) == before, "a refusal, and a look, make no key"

    monkeypatch.setenv(KEY_VARIABLE, registry_key(one).hex())
    key._confirmed.clear()
    assert is_sealed(two, sealed, "verdict")
    monkeypatch.delenv(KEY_VARIABLE)
    key._confirmed.clear()
    shutil.copy(one.root / "registry.key", two.root / "registry.key")
    assert is_sealed(two, sealed, "verdict")
    assert [each.what for each in registry(Installation(two, None, two.stores)) if re.search("registry key", each.what)]


@pytest.mark.servers
def test_of_two_machines_that_begin_at_once_one_is_refused(on_servers: Servers, tmp_path: Path) -> None:
    assert on_servers

    def begin(home: Home) -> str:
        try:
            return seal(home, "verdict")
        except CellworksError as refused:
            return refused.what

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(begin, _two(tmp_path))
    assert ["registry key" in each for each in sorted((first, second), key=len)] in ([False, True], [True, False])
