"""Whoever comes second to an instance's lock is told who holds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestration.run_lock import night_lock
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.stores import embedded_stores


def test_a_move_to_servers_is_told_who_works_in_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    with night_lock(home, "nightly", stores=embedded_stores(home)):
        for name, value in {
            "CELLWORKS_ENV": "servers",
            "CELLWORKS_POSTGRES_URL": "postgresql://nobody@127.0.0.1:9/plant",
            "CELLWORKS_S3_URL": "s3://bucket/prefix",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(CellworksError, match=rf"process {os.getpid()} \(nightly\), at it since"),
            night_lock(home, "migrate", stores=embedded_stores(home)),
        ):
            pytest.fail("it was held")
