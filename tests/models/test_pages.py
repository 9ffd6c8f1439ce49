"""A registry with more versions than MLflow gives at once."""

from __future__ import annotations

import pytest

from models.context import ModelContext
from models.registry import client as registry
from models.registry.client import open_home
from models.registry.published import snapshots_of_versions
from models.registry.versions import all_versions

NAME = "finishing.cells"


def test_the_snapshots_of_all_versions_are_held_however_many_pages_they_fill(
    ctx: ModelContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_PAGE", 2)
    client = open_home(ctx.home)
    client.create_registered_model(NAME)
    run = client.create_run(client.create_experiment("cells")).info
    for number in range(5):
        tags = {"lake_snapshot": str(10 + number)}
        client.create_model_version(NAME, f"{run.artifact_uri}/model", run.run_id, tags=tags)
    assert snapshots_of_versions(ctx.home) == {10, 11, 12, 13, 14}
    assert snapshots_of_versions(ctx.home, without={(NAME, "1"), (NAME, "5")}) == {11, 12, 13}
    assert [each.version for each in all_versions(client, NAME)] == [5, 4, 3, 2, 1]
