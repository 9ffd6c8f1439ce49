"""dbt, a night, a promotion and scoring are killed at random moments; the next run makes it whole.

`make test` kills each twice, `make faults` twenty times. Ingestion has a test of its own in `test_ingest_kill.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from pipelines.lake.home import Home
from tests.faults.kills import Killed, State, Worker, killed

pytestmark = pytest.mark.slow
MANY = pytest.param(20, marks=[pytest.mark.faults, pytest.mark.long])


def _equal(calm: State, found: State) -> bool:
    return found == calm


def _whole(found: Killed, kills: int) -> dict[str, Any]:
    """The figures, once nothing was lost, doubled or otherwise than it should be."""
    assert (found.odd, found.lost, found.doubled) == ([], 0, 0)
    assert found.recovered == found.kills == kills
    return {name: value for name, value in asdict(found).items() if name != "odd"}


@pytest.mark.parametrize(
    ("kills", "domains"),
    [(2, ["material_inspection"]), pytest.param(20, ["material_inspection", "process"], marks=MANY.marks)],
)
def test_a_killed_curation_is_made_whole_by_the_next(
    doing: Worker, taken_in: Home, kills: int, domains: list[str], record_property: Callable[[str, Any], None]
) -> None:
    found = killed(doing, taken_in, {"do": "curate", "domains": domains}, kills, _equal)
    record_property("figures", _whole(found, kills))


@pytest.mark.parametrize("kills", [2, MANY])
def test_a_killed_night_leaves_no_half_promoted_model(
    doing: Worker, untrained: Home, kills: int, record_property: Callable[[str, Any], None]
) -> None:
    def same(calm: State, found: State) -> bool:
        # One version of the killed night, and one of the next.
        return bool(found["actions"] >= calm["actions"] > 0 and found["versions"] <= 2)

    found = killed(doing, untrained, {"do": "night"}, kills, same)
    record_property("figures", _whole(found, kills))


@pytest.mark.parametrize("kills", [2, MANY])
def test_a_killed_promotion_is_carried_out_once(
    doing: Worker, challenged: Home, kills: int, record_property: Callable[[str, Any], None]
) -> None:
    def same(calm: State, found: State) -> bool:
        return bool(found == calm and calm["aliases"] == {"champion": "2", "previous": "1"})

    found = killed(doing, challenged, {"do": "promote", "version": "2"}, kills, same)
    record_property("figures", _whole(found, kills))


@pytest.mark.parametrize("kills", [2, MANY])
def test_a_killed_scoring_answers_and_acts_once(
    doing: Worker, trained: Home, kills: int, record_property: Callable[[str, Any], None]
) -> None:
    found = killed(doing, trained, {"do": "score"}, kills, _equal)
    record_property("figures", _whole(found, kills))
