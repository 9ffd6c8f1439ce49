"""`cellworks dbt-docs`: the page is there, holds every mart, and asks nothing of any other machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli.main import app
from pipelines.control_plan.site import load_site
from pipelines.curation import instance
from pipelines.curation.contracts import PROJECT, mart_models
from pipelines.lake.home import Home

pytestmark = pytest.mark.long
DEMO = PROJECT.parent / "infra" / "sites" / "demo"
# What a browser would fetch by itself on opening the page.
REMOTE = re.compile(
    r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*["']?(?:https?:)?//|@import\s+url|url\(["']?https?:"""
)


def test_the_page_documents_every_mart_and_loads_nothing_remote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path))
    monkeypatch.setenv("CELLWORKS_SITE", str(DEMO))
    try:
        result = CliRunner().invoke(app, ["dbt-docs", "--json"], catch_exceptions=False)
    finally:
        instance.close(Home(tmp_path.resolve()))
    assert result.exit_code == 0
    page = Path(json.loads(result.stdout)["page"]).read_text(encoding="utf-8")
    for name, model in mart_models(load_site(DEMO)).items():
        assert f'"model.cellworks.{name}"' in page
        assert json.dumps(model["description"], ensure_ascii=False)[1:-1] in page or model["description"] in page
    assert REMOTE.findall(page) == []
    # The page has a tracker built in, which this switch of the manifest turns on.
    assert re.search(r'"send_anonymous_usage_stats":\s*true', page) is None
