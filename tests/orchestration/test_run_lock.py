"""Whoever comes second to an instance's lock is told who holds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestration.run_lock import night_lock
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.stores import embedded_stores
from tests.servers import NOBODYS


def test_a_move_to_servers_is_told_who_works_in_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    with night_lock(home, "nightly", stores=embedded_stores(home)):
        for name, value in NOBODYS.items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(CellworksError, match=rf"process {os.getpid()} \(nightly\), at it since"),
            night_lock(home, "migrate", stores=embedded_stores(home)),
        ):
            pytest.fail("it was held")
