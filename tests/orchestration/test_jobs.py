"""A night of some solutions: of these alone, or after everything was taken in, curated and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestration.jobs import night_of, step_count
from orchestration.solving import PARTS

if TYPE_CHECKING:
    from tests.orchestration.conftest import Workshop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),  # of Dagster's own making
]


def _keys(workshop: Workshop, *slugs: str, take_in: bool) -> tuple[set[tuple[str, ...]], int]:
    job = night_of(workshop.definitions, [workshop.spec(slug) for slug in slugs], take_in=take_in)
    return {tuple(key.path) for key in job.asset_layer.selected_asset_keys}, step_count(job)


def test_a_night_of_two_is_of_all_their_parts_and_of_nothing_else(workshop: Workshop) -> None:
    keys, steps = _keys(workshop, "one", "two", take_in=False)
    assert keys == {("mine", slug, part) for slug in ("one", "two") for part in PARTS}
    assert steps == 2


@pytest.mark.parametrize("slugs", [("one",), ("one", "two")])
def test_what_was_delivered_is_taken_in_before_where_that_is_asked(workshop: Workshop, slugs: tuple[str, ...]) -> None:
    keys, _ = _keys(workshop, *slugs, take_in=True)
    assert {key for key in keys if key[0] == "mine"} == {("mine", slug, part) for slug in slugs for part in PARTS}
    raw = {name for layer, name in (key for key in keys if len(key) == 2) if layer == "raw"}
    assert raw == set(workshop.here.site.feeds)
    assert {key[0] for key in keys if len(key) == 3} == {"mine"}


def test_a_night_of_none_named_is_of_every_solution(workshop: Workshop) -> None:
    keys, _ = _keys(workshop, take_in=False)
    assert {"mine", "finishing", "energy"} <= {key[0] for key in keys if len(key) == 3}
