"""Sampling plans, operating characteristics and switching against the standard's own figures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.control_plan.errors import CellworksError
from pipelines.sampling.iso2859 import (
    AQLS,
    LETTERS,
    SAMPLE_SIZES,
    Plan,
    UnknownPlanError,
    chance_of_acceptance,
    code_letter,
    plan_for,
    zero_acceptance_size,
)
from pipelines.sampling.switching import SCORE_TO_REDUCE, Switching

LETTERS_OF_LEVEL_II = {
    "A": (2, 8), "B": (9, 15), "C": (16, 25), "D": (26, 50), "E": (51, 90), "F": (91, 150), "G": (151, 280),
    "H": (281, 500), "J": (501, 1200), "K": (1201, 3200), "L": (3201, 10_000), "M": (10_001, 35_000),
    "N": (35_001, 150_000), "P": (150_001, 500_000), "Q": (500_001, 10**9),
}  # fmt: skip
SIZES = dict(
    zip("ABCDEFGHJKLMNPQR", (2, 3, 5, 8, 13, 20, 32, 50, 80, 125, 200, 315, 500, 800, 1250, 2000), strict=True)
)
NORMAL = {
    "J": {0.15: 0, 0.65: 1, 1.0: 2, 1.5: 3, 2.5: 5, 4.0: 7},
    "K": {0.10: 0, 0.40: 1, 0.65: 2, 1.0: 3, 1.5: 5, 2.5: 7},
    "L": {0.065: 0, 0.25: 1, 0.40: 2, 0.65: 3, 1.0: 5, 1.5: 7},
    "M": {0.04: 0, 0.15: 1, 0.25: 2, 0.40: 3, 0.65: 5, 1.0: 7},
}
SHARES = (0.0065, 0.01, 0.02, 0.03, 0.05)
CURVES = {
    (125, 2): (0.9513, 0.8693, 0.5425, 0.2727, 0.0477),
    (200, 3): (0.9575, 0.8580, 0.4315, 0.1472, 0.0090),
    (80, 1): (0.9042, 0.8092, 0.5230, 0.3038, 0.0861),
    (80, 2): (0.9844, 0.9534, 0.7844, 0.5681, 0.2306),
}


def _lot_of(letter: str) -> int:
    """A lot of level II with a code letter."""
    return LETTERS_OF_LEVEL_II[letter][0]


@pytest.mark.parametrize("letter", LETTERS_OF_LEVEL_II)
def test_code_letters_of_level_two_from_the_first_lot_to_the_last(letter: str) -> None:
    first, last = LETTERS_OF_LEVEL_II[letter]
    assert code_letter(first) == code_letter(last) == letter


@pytest.mark.parametrize(("lot", "one", "three"), [(8, "A", "B"), (50, "C", "E"), (1200, "G", "K"), (10**6, "N", "R")])
def test_level_one_takes_less_and_level_three_one_letter_more(lot: int, one: str, three: str) -> None:
    assert (code_letter(lot, "I"), code_letter(lot, "III")) == (one, three)


def test_sample_sizes_of_the_letters() -> None:
    assert dict(zip(LETTERS, SAMPLE_SIZES, strict=True)) == SIZES


@pytest.mark.parametrize(
    ("letter", "aql", "accept"), [(letter, *cell) for letter, row in NORMAL.items() for cell in row.items()]
)
def test_acceptance_numbers_of_normal_inspection(letter: str, aql: float, accept: int) -> None:
    plan = plan_for(_lot_of(letter), aql)
    assert (plan.letter, plan.size, plan.accept, plan.reject) == (letter, SIZES[letter], accept, accept + 1)


@pytest.mark.parametrize(
    ("letter", "aql", "to", "accept"),
    [
        ("J", 0.25, "H", 0),  # beside the 0 of its own row: up to the 0 of its column
        ("J", 0.40, "K", 1),  # before its first 1: down
        ("A", 1.0, "E", 0),  # the smallest sample of AQL 1.0 is 13
        ("A", 10.0, "C", 1),  # nothing is above the first letter
        ("L", 10.0, "K", 21),  # more than 21 is in no plan
    ],
)
def test_arrows_lead_to_the_first_plan_of_their_column(letter: str, aql: float, to: str, accept: int) -> None:
    plan = plan_for(_lot_of(letter), aql)
    assert (plan.letter, plan.size, plan.accept) == (to, min(SIZES[to], _lot_of(letter)), accept)


def test_a_lot_no_larger_than_its_sample_is_inspected_whole() -> None:
    assert plan_for(10, 1.0) == Plan("E", 10, 0)


@pytest.mark.parametrize(
    ("letter", "aql", "accept"),
    [("F", 1.0, 0), ("J", 1.0, 1), ("K", 1.0, 2), ("L", 1.0, 3), ("K", 2.5, 5), ("L", 2.5, 8), ("L", 4.0, 12)],
)
def test_acceptance_numbers_of_tightened_inspection(letter: str, aql: float, accept: int) -> None:
    plan = plan_for(_lot_of(letter), aql, severity="tightened")
    assert (plan.letter, plan.accept) == (letter, accept)


def test_tightened_inspection_lets_less_pass_than_normal_wherever_both_are_known() -> None:
    shares = np.array([0.01, 0.05, 0.2])
    compared = 0
    for letter in LETTERS_OF_LEVEL_II:
        for aql in AQLS:
            try:
                normal, tightened = (plan_for(_lot_of(letter), aql, severity=each) for each in ("normal", "tightened"))
            except UnknownPlanError:
                continue
            compared += 1
            assert (chance_of_acceptance(tightened, shares) <= chance_of_acceptance(normal, shares) + 1e-12).all()
    assert compared > 180


@pytest.mark.parametrize(
    ("aql", "severity", "level"), [(1.0, "reduced", "II"), (0.40, "tightened", "II"), (0.65, "tightened", "II")]
)
def test_what_is_not_held_is_refused_and_never_guessed(aql: float, severity: str, level: str) -> None:
    with pytest.raises(UnknownPlanError, match="not held here"):
        plan_for(_lot_of("J"), aql, level, severity)


def test_an_aql_that_the_standard_does_not_have_is_told_with_those_it_has() -> None:
    with pytest.raises(CellworksError, match="no AQL of 2 %") as told:
        plan_for(1000, 2.0)
    assert "1.5, 2.5" in told.value.expected


def test_a_lot_of_one_is_refused() -> None:
    with pytest.raises(CellworksError, match="too small"):
        code_letter(1)


@pytest.mark.parametrize("plan", CURVES)
def test_operating_characteristics(plan: tuple[int, int]) -> None:
    size, accept = plan
    found = chance_of_acceptance(Plan("-", size, accept), np.array(SHARES))
    assert found == pytest.approx(CURVES[plan], abs=5e-5)


@given(size=st.sampled_from(SAMPLE_SIZES), accept=st.integers(0, 21), p=st.floats(0, 0.99), more=st.floats(1e-6, 0.01))
def test_the_worse_the_lot_the_less_likely_it_passes(size: int, accept: int, p: float, more: float) -> None:
    good, bad = chance_of_acceptance(Plan("-", size, accept), np.array([p, p + more]))
    assert 0 <= bad <= good <= 1


@pytest.mark.parametrize(("p", "beta", "size"), [(0.01, 0.05, 299), (0.01, 0.10, 230), (0.001, 0.05, 2995)])
def test_zero_acceptance_plans(p: float, beta: float, size: int) -> None:
    assert zero_acceptance_size(p, beta) == size


@given(p=st.floats(0.001, 0.5), beta=st.floats(0.01, 0.5))
def test_a_zero_acceptance_plan_is_the_smallest_that_keeps_its_risk(p: float, beta: float) -> None:
    size = zero_acceptance_size(p, beta)
    assert (1 - p) ** size <= beta * (1 + 1e-6)
    assert size == 1 or (1 - p) ** (size - 1) > beta * (1 - 1e-6)


def test_a_share_of_nothing_has_no_zero_acceptance_plan() -> None:
    with pytest.raises(CellworksError, match="no such plan"):
        zero_acceptance_size(0.0, 0.05)


K = plan_for(2000, 1.0)
J = plan_for(1000, 0.65)


def _walk(verdicts: str, begin: Switching | None = None, plan: Plan = K, **options: bool) -> list[Switching]:
    """States after each lot: `a` is accepted, `r` rejected, `t` accepted but not at the next smaller AQL."""
    found = {"a": 0, "r": plan.reject, "t": plan.accept}
    states = [begin or Switching()]
    for verdict in verdicts:
        states.append(states[-1].after(plan, found[verdict], **options))
    return states


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ("r", "normal"),
        ("rr", "tightened"),
        ("raaar", "tightened"),  # two of five
        ("raaaar", "normal"),  # two of six
        ("rraaaa", "tightened"),
        ("rraaaaa", "normal"),
        ("rr" + "aaaar" * 4, "tightened"),
        ("rr" + "aaaar" * 5, "discontinued"),  # the fifth rejected, whatever was accepted between
        ("rr" + "rrrrr" + "aaaaa", "discontinued"),
    ],
)
def test_switching_between_normal_tightened_and_discontinued(verdicts: str, state: str) -> None:
    assert _walk(verdicts)[-1].state == state


def test_inspection_resumes_tightened_and_its_count_begins_anew() -> None:
    stopped = _walk("rrrrrrr")[-1]
    assert stopped.state == "discontinued"
    assert _walk("rrrr", stopped.resumed())[-1].state == "tightened"
    assert Switching().resumed() == Switching()


@pytest.mark.parametrize(
    ("plan", "verdicts", "score"),
    [(K, "a" * 9, 27), (K, "aaat", 0), (K, "aaar", 0), (J, "aaa", 6), (J, "at", 4), (J, "ar", 0)],
)
def test_the_switching_score(plan: Plan, verdicts: str, score: int) -> None:
    """Three where the lot would have passed one AQL tighter, two where Ac is 0 or 1 and it passed; else none."""
    assert _walk(verdicts, plan=plan)[-1].score == score


@pytest.mark.parametrize(("plan", "lots"), [(K, 10), (J, 15)])
def test_reduced_inspection_needs_a_score_of_thirty_and_an_agreement(plan: Plan, lots: int) -> None:
    states = _walk("a" * lots, plan=plan, reduced_agreed=True)
    assert [each.state for each in states[-2:]] == ["normal", "reduced"]
    assert _walk("aaaaaa", states[-1], plan=plan, reduced_agreed=True)[-1].state == "reduced"
    assert _walk("r", states[-1], plan=plan, reduced_agreed=True)[-1] == Switching("normal"), "any rejection ends it"
    assert _walk("a", states[-1], plan=plan)[-1] == Switching("normal"), "production is no longer steady"
    unasked = _walk("a" * lots, plan=plan)[-1]
    assert (unasked.state, unasked.score) == ("normal", SCORE_TO_REDUCE)


NEXT = {
    "normal": {"normal", "tightened", "reduced"},
    "tightened": {"tightened", "normal", "discontinued"},
    "reduced": {"reduced", "normal"},
    "discontinued": {"discontinued"},
}


@given(verdicts=st.text("art", max_size=80), agreed=st.booleans())
def test_switching_never_skips_a_state(verdicts: str, agreed: bool) -> None:
    states = _walk(verdicts, reduced_agreed=agreed)
    for before, after in pairwise(states):
        assert after.state in NEXT[before.state]
        assert len(after.recent) <= 5
