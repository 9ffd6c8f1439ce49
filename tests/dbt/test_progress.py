"""How far a curation is, as told while dbt builds."""

from __future__ import annotations

from contextvars import ContextVar

import pytest

from pipelines.control_plan.site import load_site
from pipelines.curation.contracts import PROJECT
from pipelines.curation.run import curate
from pipelines.lake.home import Home

SITE = load_site(PROJECT.parent / "infra" / "sites" / "demo")
pytestmark = pytest.mark.slow
LISTENER = ContextVar("LISTENER", default="nobody")


def test_a_curation_tells_each_model_and_ends_with_all_of_them_done(empty_home: Home) -> None:
    told: list[tuple[str, int, int]] = []
    listeners = set()

    def progress(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        listeners.add(LISTENER.get())

    token = LISTENER.set("whoever called")
    report = curate(empty_home, SITE, layer="staging", domain="test", full=True, progress=progress)
    LISTENER.reset(token)
    assert {model.name for model in report.models} <= {what for what, _, _ in told}
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    built = len(report.models) + len(report.tests)
    assert told[-1][1:] == (built, built)
    assert listeners == {"whoever called"}, "the threads of dbt must know who listens"


def test_a_listener_that_fails_is_logged_and_fails_no_model(empty_home: Home, caplog: pytest.LogCaptureFixture) -> None:
    def progress(_what: str, _done: int, _total: int) -> None:
        raise RuntimeError("the terminal went away")

    report = curate(empty_home, SITE, layer="staging", domain="test", full=True, progress=progress)
    assert report.is_passed
    assert "the terminal went away" in caplog.text
