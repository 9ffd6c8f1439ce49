"""Files of an object store that fails for a moment, or for good, while they are copied."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import pipelines.moving.trees as trees
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.moving.trees import Bucket, Folder, bring
from tests.proxy import Proxy
from tests.servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.faults]
CONTENT = bytes(range(256)) * 512


@pytest.fixture
def proxy(on_servers: Servers) -> Iterator[Proxy]:
    with Proxy(on_servers.endpoint).serving() as serving:
        serving.method = "GET"
        yield serving


@pytest.fixture
def bucket(on_servers: Servers, tmp_path: Path, proxy: Proxy) -> Bucket:
    """A tree of three files in an object store that is reached through the proxy."""
    objects = Home(tmp_path / "home").stores.objects
    assert objects is not None
    found = Bucket(replace(objects, endpoint=proxy.endpoint), f"{objects.url}/tree")
    for name in "abc":
        found.put(f"{name}/file", io.BytesIO(CONTENT))
    return found


def test_an_answer_that_breaks_off_is_asked_for_again(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> None:
    proxy.cut = 2
    found = bring(bucket, Folder(tmp_path / "copy"))
    assert proxy.spoilt == 2
    assert found == dict.fromkeys(("a/file", "b/file", "c/file"), hashlib.sha256(CONTENT).hexdigest())
    assert (tmp_path / "copy" / "b" / "file").read_bytes() == CONTENT


def test_a_store_that_goes_on_failing_is_told_in_words(
    bucket: Bucket, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "_WAITS_S", (0.0,))
    keys = bucket.sizes()
    proxy.cut = 1_000
    with pytest.raises(CellworksError, match="object store") as told:
        trees.copy(bucket, Folder(tmp_path / "copy"), keys)
    assert told.value.where in keys
    assert not [each for each in (tmp_path / "copy").rglob("*") if each.suffix != ".part" and each.is_file()]
