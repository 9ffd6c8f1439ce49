"""Whether a gauge can tell parts apart: repeatability and reproducibility, bias, linearity, agreement of inspectors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import floor, sqrt
from typing import Literal

import numpy as np

from pipelines.charts.constants import Array, constants, d2_star
from pipelines.control_plan.errors import CellworksError

Verdict = Literal["good", "conditional", "reject"]
POOLING_P = 0.25
"""An interaction of parts and operators that is no clearer than this is counted as repeatability (AIAG)."""
_GOOD, _REJECT = 0.1, 0.3  # GRR over tolerance or total variation
_MIN_CATEGORIES = 5
_TOLERANCE_SIGMAS = 6.0
_GOOD_KAPPA, _REJECT_KAPPA = 0.75, 0.4


@dataclass(frozen=True)
class GaugeStudy:
    """A crossed study; all deviations are standard deviations in the unit of the characteristic.

    Attributes:
        repeatability: of one operator with one part (EV).
        reproducibility: between operators, with their interaction with parts where it is kept (AV).
        grr: both together.
        part: between parts (PV).
        total: GRR and parts (TV).
        of_total_ratio: GRR / total variation.
        of_tolerance_ratio: 6 GRR / width of the tolerance; None without tolerance.
        categories: groups of parts that the gauge can tell apart (ndc), at least 5.
        interaction_p: chance of as much interaction where there is none; None where it was not tested.
        verdict: by the tolerance where there is one, else by the total variation; never good with few categories.
    """

    repeatability: float
    reproducibility: float
    grr: float
    part: float
    total: float
    of_total_ratio: float
    of_tolerance_ratio: float | None
    categories: int
    interaction_p: float | None
    verdict: Verdict


def crossed(part: Array, operator: Array, value: Array) -> Array:
    """Rows of a study as a table of parts, operators and trials.

    Args:
        part: which part was measured (n,).
        operator: by whom (n,); the same word for all of an automatic gauge.
        value: what was read (n,).

    Returns:
        Values (parts, operators, trials).

    Raises:
        CellworksError: a value is missing, or not every operator measured every part as often as the others.
    """
    parts, part_no = np.unique(part, return_inverse=True)
    operators, operator_no = np.unique(operator, return_inverse=True)
    cell = part_no * len(operators) + operator_no
    counts = np.bincount(cell, minlength=len(parts) * len(operators))
    least, most = (int(counts.min()), int(counts.max())) if len(value) else (0, 0)
    if least == 0 or least != most or not np.isfinite(value).all():
        raise CellworksError(
            "the gauge study is not complete",
            expected="every operator measures every part equally often, and no reading is missing",
            found=f"between {least} and {most} readings of a part by an operator, "
            f"{int((~np.isfinite(value)).sum())} missing",
            mend="measure what is missing, or leave the part out",
        )
    return np.asarray(value[np.argsort(cell, kind="stable")].reshape(len(parts), len(operators), -1))


def study_by_anova(values: Array, tolerance: float | None = None) -> GaugeStudy:
    """Study by a two-way analysis of variance with random effects.

    Args:
        values: of `crossed` (parts, operators, trials), at least 2 parts and 2 trials.
        tolerance: width of the specification.

    Raises:
        CellworksError: too small a study.

    Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III B and appendix A.
    """
    from scipy.stats import f

    parts, operators, trials = _size(values)
    cell = values.mean(axis=2)
    of_part, of_operator, grand = cell.mean(axis=1), cell.mean(axis=0), cell.mean()
    error, error_freedom = float(((values - cell[:, :, None]) ** 2).sum()), parts * operators * (trials - 1)
    crossing = trials * float(((cell - of_part[:, None] - of_operator + grand) ** 2).sum())
    freedom = (parts - 1) * (operators - 1)
    chance = None
    if freedom and error > 0:
        chance = float(f.sf((crossing / freedom) / (error / error_freedom), freedom, error_freedom))
    if chance is None or chance > POOLING_P:
        error, error_freedom, interaction = error + crossing, error_freedom + freedom, 0.0
        below = error / error_freedom
    else:
        below = crossing / freedom
        interaction = max(0.0, (below - error / error_freedom) / trials)
    between = max(0.0, of_operator.var(ddof=1) - below / (parts * trials)) if operators > 1 else 0.0
    part = max(0.0, of_part.var(ddof=1) - below / (operators * trials))
    return _study(sqrt(error / error_freedom), sqrt(between + interaction), sqrt(part), tolerance, chance)


def study_by_range(values: Array, tolerance: float | None = None) -> GaugeStudy:
    """Study by means and ranges, as done on paper; it cannot see an interaction.

    Arguments and errors as for `study_by_anova`. Factors: K1 = 1/d2, K2 and K3 = 1/d2* of a single range.

    Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III B.
    """
    parts, operators, trials = _size(values)
    repeatability = float(np.ptp(values, axis=2).mean()) / constants(trials).d2
    of_operator, of_part = values.mean(axis=(0, 2)), values.mean(axis=(1, 2))
    reproducibility = 0.0
    if operators > 1:
        apart = float(np.ptp(of_operator)) / d2_star(operators, 1)
        reproducibility = sqrt(max(0.0, apart**2 - repeatability**2 / (parts * trials)))
    part = float(np.ptp(of_part)) / d2_star(parts, 1)
    return _study(repeatability, reproducibility, part, tolerance, None)


@dataclass(frozen=True)
class Bias:
    """How far a gauge lies from the truth on average, in the unit of the characteristic, with a 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_zero(self) -> bool:
        """Whether the readings leave no bias open to doubt."""
        return self.low <= 0 <= self.high


def bias(measured: Array, reference: float) -> Bias:
    """Bias of repeated readings of one part.

    Args:
        measured: readings (n,), at least 2.
        reference: its true value.

    Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III B, independent sample method.
    """
    from scipy.stats import t

    n = len(measured)
    mean = float(measured.mean()) - reference
    half = float(t.isf(0.025, n - 1)) * float(measured.std(ddof=1)) / sqrt(n)
    return Bias(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Linearity:
    """Bias along the range of a gauge: bias = intercept + slope * reference.

    Attributes:
        slope: change of the bias per unit.
        intercept: bias at 0.
        r_squared: share of the readings' variance around their reference that the line explains.
        slope_p: chance of as steep a line where there is none.
        is_linear: whether no slope is shown (p at least 0.05): the bias is the same everywhere.
    """

    slope: float
    intercept: float
    r_squared: float
    slope_p: float
    is_linear: bool


def linearity(measured: Array, reference: Array) -> Linearity:
    """Linearity from repeated readings of parts over the range.

    Args:
        measured: readings (n,).
        reference: true value of the part that each is of (n,), at least two different ones.

    Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III B.
    """
    from scipy.stats import linregress

    line = linregress(reference, measured - reference)
    return Linearity(
        float(line.slope), float(line.intercept), float(line.rvalue**2), float(line.pvalue), bool(line.pvalue >= 0.05)
    )


@dataclass(frozen=True)
class Agreement:
    """How far inspectors agree beyond chance (Cohen's kappa, 1 is complete).

    Attributes:
        between: of each pair of inspectors, in the order (0, 1), (0, 2), ... (1, 2), ...
        to_reference: of each inspector with the truth; empty where it is not known.
        verdict: by the lowest: good from 0.75, reject below 0.4.
    """

    between: tuple[float, ...]
    to_reference: tuple[float, ...]
    verdict: Verdict


def agreement(ratings: Array, reference: Array | None = None) -> Agreement:
    """Agreement of inspectors who sort the same parts.

    Args:
        ratings: class that each gave each part (inspectors, parts), at least two inspectors or a reference.
        reference: true class of each part (parts,).

    Raises:
        ValueError: nothing to compare.

    Source: AIAG, Measurement Systems Analysis, 4th edition, chapter III C; Cohen, Educational and Psychological
    Measurement 20 (1960) 37.
    """
    between = tuple(_kappa(one, other) for one, other in combinations(ratings, 2))
    to_reference = () if reference is None else tuple(_kappa(own, reference) for own in ratings)
    if not between + to_reference:
        raise ValueError("agreement takes two inspectors, or one and the truth")
    lowest = min(between + to_reference)
    return Agreement(between, to_reference, _verdict(lowest >= _GOOD_KAPPA, lowest < _REJECT_KAPPA))


def _kappa(one: Array, other: Array) -> float:
    """Cohen's kappa; 1 where both give all parts the same single class, which leaves nothing to chance."""
    from sklearn.metrics import cohen_kappa_score

    if (one == other).all():
        return 1.0
    return float(cohen_kappa_score(one, other))


def _size(values: Array) -> tuple[int, int, int]:
    """Parts, operators and trials.

    Raises:
        CellworksError: see `study_by_anova`.
    """
    parts, operators, trials = values.shape
    if parts < 2 or trials < 2:
        raise CellworksError(
            "the gauge study is too small",
            expected="at least 2 parts, each measured at least twice by each operator; AIAG asks for 10 by 3 by 3",
            found=f"{parts} parts, {operators} operators, {trials} trials",
            mend="measure more parts, or each once more",
        )
    return parts, operators, trials


def _study(
    repeatability: float, reproducibility: float, part: float, tolerance: float | None, chance: float | None
) -> GaugeStudy:
    """A study's figures from its three deviations."""
    grr = sqrt(repeatability**2 + reproducibility**2)
    total = sqrt(grr**2 + part**2)
    of_total = grr / total if total > 0 else 0.0
    of_tolerance = None if tolerance is None else _TOLERANCE_SIGMAS * grr / tolerance
    deciding = of_total if of_tolerance is None else of_tolerance
    # A gauge that always reads the same has shown no spread at all: its categories are as many as can be asked for.
    categories = floor(1.41 * part / grr) if grr > 0 else _MIN_CATEGORIES
    verdict = _verdict(deciding < _GOOD and categories >= _MIN_CATEGORIES, deciding > _REJECT)
    return GaugeStudy(
        repeatability, reproducibility, grr, part, total, of_total, of_tolerance, categories, chance, verdict
    )


def _verdict(is_good: bool, is_bad: bool) -> Verdict:
    """The word for a study."""
    if is_good:
        return "good"
    return "reject" if is_bad else "conditional"
