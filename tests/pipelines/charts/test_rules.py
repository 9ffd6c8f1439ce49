"""The table of rules: bits that are stored, names that people write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.charts.rules import CUSUM, DEFAULT, EWMA, NELSON, RULES, WESTERN_ELECTRIC, mask_of, names_of

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "control-charts.md"


def test_bits_are_as_stored_and_fit_into_sixteen():
    # The lake holds these numbers: a change here changes what old rows say.
    assert [rule.name for rule in RULES] == [
        "beyond_limit",
        "two_of_three",
        "four_of_five",
        "eight_on_a_side",
        "nine_on_a_side",
        "six_rising_or_falling",
        "fourteen_alternating",
        "fifteen_within_1_sigma",
        "eight_beyond_1_sigma",
        "ewma_high",
        "ewma_low",
        "cusum_high",
        "cusum_low",
    ]
    assert [rule.place for rule in RULES] == list(range(13))
    assert mask_of(rule.name for rule in RULES) <= np.iinfo(np.uint16).max


def test_both_families_are_whole():
    assert sorted(rule.western_electric for rule in RULES if rule.western_electric) == [1, 2, 3, 4]
    assert sorted(rule.nelson for rule in RULES if rule.nelson) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [len(names_of(mask)) for mask in (WESTERN_ELECTRIC, NELSON, EWMA, CUSUM, DEFAULT)] == [4, 8, 2, 2, 3]


def test_names_and_bits_go_both_ways():
    for rule in RULES:
        assert names_of(mask_of([rule.name])) == [rule.name]
    assert names_of(0) == []
    with pytest.raises(KeyError):
        mask_of(["seven_of_nine"])


def test_the_page_tells_each_rule_with_its_bit():
    page = PAGE.read_text()
    for rule in RULES:
        assert f"| {rule.place} | `{rule.name}` | {rule.sentence} |" in page
