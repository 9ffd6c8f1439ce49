"""Gauge studies against the example of the AIAG's manual, closed forms and known variances."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from pipelines.charts.gauge import agreement, bias, crossed, linearity, study_by_anova, study_by_range
from pipelines.control_plan.errors import CellworksError

# AIAG, Measurement Systems Analysis, 4th edition, figure III-B 15: trials of operators A, B, C, a row for each part.
AIAG = np.asarray(
    [
        [0.29, 0.41, 0.64, 0.08, 0.25, 0.07, 0.04, -0.11, -0.15],
        [-0.56, -0.68, -0.58, -0.47, -1.22, -0.68, -1.38, -1.13, -0.96],
        [1.34, 1.17, 1.27, 1.19, 0.94, 1.34, 0.88, 1.09, 0.67],
        [0.47, 0.50, 0.64, 0.01, 1.03, 0.20, 0.14, 0.20, 0.11],
        [-0.80, -0.92, -0.84, -0.56, -1.20, -1.28, -1.46, -1.07, -1.45],
        [0.02, -0.11, -0.21, -0.20, 0.22, 0.06, -0.29, -0.67, -0.49],
        [0.59, 0.75, 0.66, 0.47, 0.55, 0.83, 0.02, 0.01, 0.21],
        [-0.31, -0.20, -0.17, -0.63, 0.08, -0.34, -0.46, -0.56, -0.49],
        [2.26, 1.99, 2.01, 1.80, 2.12, 2.19, 1.77, 1.45, 1.87],
        [-1.36, -1.25, -1.31, -1.68, -1.62, -1.50, -1.49, -1.77, -2.16],
    ]
).reshape(10, 3, 3)


def test_the_manuals_example_by_anova():
    study = study_by_anova(AIAG)
    assert study.interaction_p == pytest.approx(0.974, abs=5e-4)  # pooled
    assert study.repeatability == pytest.approx(0.199933, abs=1e-6)
    assert study.reproducibility == pytest.approx(0.226838, abs=1e-6)
    assert study.grr == pytest.approx(0.302373, abs=2e-6)
    assert study.part == pytest.approx(1.042327, abs=1e-6)
    assert study.total == pytest.approx(1.085, abs=5e-4)
    assert study.of_total_ratio == pytest.approx(0.279, abs=5e-4)
    assert (study.categories, study.verdict, study.of_tolerance_ratio) == (4, "conditional", None)


def test_the_manuals_example_by_range():
    study = study_by_range(AIAG)
    assert study.repeatability == pytest.approx(0.20188, abs=5e-5)
    # The manual goes on with means rounded to four digits.
    assert study.reproducibility == pytest.approx(0.22963, abs=1e-4)
    assert study.grr == pytest.approx(0.30575, abs=1e-4)
    assert study.part == pytest.approx(1.10456, abs=2e-4)
    assert study.total == pytest.approx(1.14610, abs=2e-4)
    assert study.of_total_ratio == pytest.approx(0.2668, abs=1e-4)
    assert (study.categories, study.interaction_p) == (5, None)


def drawn(rng, parts, operators, trials, part, operator, interaction, error):
    return (
        rng.normal(0, part, (parts, 1, 1))
        + rng.normal(0, operator, (1, operators, 1))
        + rng.normal(0, interaction, (parts, operators, 1))
        + rng.normal(0, error, (parts, operators, trials))
    )


def test_an_interaction_that_is_there_is_kept():
    rng = np.random.default_rng(0)
    studies = [study_by_anova(drawn(rng, 12, 6, 3, 2.0, 0.5, 0.6, 0.3)) for _ in range(300)]
    assert max(study.interaction_p for study in studies) < 0.05
    assert np.mean([study.repeatability**2 for study in studies]) == pytest.approx(0.09, rel=0.05)
    assert np.mean([study.reproducibility**2 for study in studies]) == pytest.approx(0.25 + 0.36, rel=0.1)
    assert np.mean([study.part**2 for study in studies]) == pytest.approx(4.0, rel=0.1)


def test_components_have_a_closed_form_where_nothing_is_left_to_chance():
    part, operator, error = np.asarray([0.0, 3.0, 6.0]), np.asarray([-1.0, 1.0]), np.asarray([-0.1, 0.1])
    study = study_by_anova(part[:, None, None] + operator[:, None] + error)
    pooled = 12 * 0.01 / 8  # 6 of readings, 2 of an interaction that is exactly none
    assert study.interaction_p == pytest.approx(1.0)
    assert study.repeatability == pytest.approx(sqrt(pooled))
    assert study.reproducibility == pytest.approx(sqrt(2 - pooled / 6))
    assert study.part == pytest.approx(sqrt(9 - pooled / 4))


def test_an_automatic_gauge_has_no_reproducibility():
    values = drawn(np.random.default_rng(1), 10, 1, 3, 1.0, 0.0, 0.0, 0.05)
    for study in (study_by_anova(values), study_by_range(values)):
        assert study.reproducibility == 0
        assert study.grr == study.repeatability == pytest.approx(0.05, rel=0.3)
        assert (study.verdict, study.categories >= 5) == ("good", True)


@pytest.mark.parametrize(("tolerance", "verdict"), [(40.0, "conditional"), (8.0, "conditional"), (6.0, "reject")])
def test_the_verdict_goes_by_the_tolerance_where_there_is_one(tolerance, verdict):
    study = study_by_anova(AIAG, tolerance)
    assert study.of_tolerance_ratio == pytest.approx(6 * study.grr / tolerance)
    assert study.verdict == verdict  # of 40 the ratio is good, but four categories are not


def test_rows_become_a_table_in_any_order():
    part, operator, _ = (each.ravel() for each in np.indices(AIAG.shape))
    order = np.random.default_rng(2).permutation(90)
    value = crossed(part[order], operator[order], AIAG.ravel()[order])
    assert np.sort(value, axis=2).tolist() == np.sort(AIAG, axis=2).tolist()
    with pytest.raises(CellworksError, match="not complete") as refused:
        crossed(part[1:], operator[1:], AIAG.ravel()[1:])
    assert "between 2 and 3" in refused.value.found
    with pytest.raises(CellworksError, match="not complete"):
        crossed(part[:0], operator[:0], AIAG.ravel()[:0])
    with pytest.raises(CellworksError, match="not complete"):
        crossed(part, operator, np.where(part == 3, np.nan, AIAG.ravel()))


def test_a_study_without_repetition_is_refused():
    with pytest.raises(CellworksError, match="too small"):
        study_by_anova(AIAG[:, :, :1])
    with pytest.raises(CellworksError, match="too small"):
        study_by_range(AIAG[:1])


def test_bias_of_the_manuals_example():
    # AIAG, table III-B 1: fifteen readings of a part of 6.00.
    measured = np.asarray([5.8, 5.7, 5.9, 5.9, 6.0, 6.1, 6.0, 6.1, 6.4, 6.3, 6.0, 6.1, 6.2, 5.6, 6.0])
    found = bias(measured, 6.0)
    assert (found.value, found.low, found.high) == pytest.approx((0.0067, -0.1107, 0.1241), abs=1.5e-3)
    assert found.is_zero
    assert not bias(measured + 0.2, 6.0).is_zero


def test_linearity_of_the_manuals_example():
    # AIAG, table III-B 4: twelve readings of each of five parts.
    measured = np.asarray(
        [
            [2.7, 2.5, 2.4, 2.5, 2.7, 2.3, 2.5, 2.5, 2.4, 2.4, 2.6, 2.4],
            [5.1, 3.9, 4.2, 5.0, 3.8, 3.9, 3.9, 3.9, 3.9, 4.0, 4.1, 3.8],
            [5.8, 5.7, 5.9, 5.9, 6.0, 6.1, 6.0, 6.1, 6.4, 6.3, 6.0, 6.1],
            [7.6, 7.7, 7.8, 7.7, 7.8, 7.8, 7.8, 7.7, 7.8, 7.5, 7.6, 7.7],
            [9.1, 9.3, 9.5, 9.3, 9.4, 9.5, 9.5, 9.5, 9.6, 9.2, 9.3, 9.4],
        ]
    )
    found = linearity(measured.ravel(), np.repeat([2.0, 4.0, 6.0, 8.0, 10.0], 12))
    assert (found.slope, found.intercept) == pytest.approx((-0.131667, 0.736667), abs=1e-6)
    assert found.r_squared == pytest.approx(0.714, abs=5e-4)
    assert not found.is_linear
    assert linearity(
        np.repeat([2.1, 4.1, 6.1], 5) + np.tile([-0.1, 0.1, 0, 0.1, -0.1], 3), np.repeat([2.0, 4, 6], 5)
    ).is_linear


def pair(counts):
    """Two inspectors' classes from their cross-table."""
    one = np.repeat([0, 0, 1, 1], counts)
    return one, np.repeat([0, 1, 0, 1], counts)


@pytest.mark.parametrize(
    ("counts", "kappa"),
    # AIAG, chapter III C: A*B, B*C, A*C, A*REF, B*REF, C*REF of 50 parts sorted three times.
    [
        ((44, 6, 3, 97), 0.86),
        ((42, 5, 9, 94), 0.79),
        ((43, 7, 8, 92), 0.78),
        ((45, 5, 3, 97), 0.88),
        ((45, 2, 3, 100), 0.92),
        ((42, 9, 6, 93), 0.77),
    ],
)
def test_agreement_of_the_manuals_example(counts, kappa):
    one, other = pair(counts)
    assert agreement(np.stack([one, other])).between == pytest.approx((kappa,), abs=6e-3)
    assert agreement(one[None], other).to_reference == pytest.approx((kappa,), abs=6e-3)


def test_the_verdict_is_that_of_the_worst_inspector():
    truth = np.repeat([0, 1], 25)
    careless = np.where(np.arange(50) % 3 == 0, 1 - truth, truth)
    found = agreement(np.stack([truth, careless]), truth)
    assert found.to_reference[0] == 1.0
    assert found.between == (found.to_reference[1],)
    assert found.verdict == "reject"
    assert agreement(truth[None], truth).verdict == "good"


@pytest.mark.parametrize(
    ("unlike", "kappa", "verdict"), [(12, 0.76, "good"), (13, 0.74, "conditional"), (30, 0.4, "conditional")]
)
def test_three_quarters_of_what_chance_leaves_is_good_agreement(unlike, kappa, verdict):
    one, other = pair(((50 - unlike // 2), unlike // 2, unlike - unlike // 2, 50 - (unlike - unlike // 2)))
    found = agreement(np.stack([one, other]))
    assert found.between == (pytest.approx(kappa, abs=1e-3),)
    assert found.verdict == verdict


def test_all_parts_in_one_class_agree():
    assert agreement(np.ones((2, 20))).between == (1.0,)
    with pytest.raises(ValueError, match="two inspectors"):
        agreement(np.ones((1, 20)))
