"""Intervals that keep their promise when the world moves: the width follows the labels that have become known.

Adaptive conformal inference (Gibbs and Candes 2021) as a tracker of the score's quantile (Angelopoulos, Candes and
Tibshirani 2023): after a value outside the interval widens, after one inside it narrows, by steps that balance where
the promised share holds. The width moves by ratios, so it needs no scale and stays above zero. Whatever the values do,
the weighted share outside differs from the promised one by no more than the way that the width went, over the steps.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import norm

from models.scoring.runtime import Array, Scorer
from models.spec import PredictiveSpec

# Labels are taken in by the hour, the first full one after they became known.
_STEP = np.timedelta64(1, "h")


def width_per_level(coverage: float) -> float:
    """Change of the width's logarithm per change of the level, for errors of a normal shape: 1 / (2 z phi(z)).

    Args:
        coverage: promised share, in (0, 1).
    """
    z = float(norm.ppf((1 + coverage) / 2))
    return 1 / (2 * z * float(norm.pdf(z)))


def widths_at(interval: dict[str, Any], rate: float, score: Array, known_at: Array, acts_at: Array) -> Array:
    """Half-widths of rows by what was known when each of them acted.

    The share outside of an hour's labels moves the level by 1 - (1 - rate)^rows of its gap, where the rows are the
    independent ones that these are worth. The labels are held against the width of the hour that they come in, not
    of the earlier one in which their rows acted: where they come late, a step would else be taken again and again.

    Args:
        interval: of the bundle: `above`, `coverage`, and the `design_effect` (rows per independent row).
        rate: share of the gap that one independent row takes away, in [0, 1).
        score: absolute errors of rows that the model has not learnt from.
        known_at: datetime64 per score: when its label became known.
        acts_at: datetime64 per row to be answered; NaT: nothing is known to have come before.

    Returns:
        A half-width per row to be answered; the bundle's own where no label was known yet.
    """
    base = float(interval["above"])
    dated = ~np.isnat(known_at)
    known = known_at[dated].astype("datetime64[us]")
    usable = known.astype("datetime64[h]")
    usable = np.where(usable < known, usable + _STEP, usable).astype("datetime64[us]")
    order = np.argsort(usable, kind="stable")
    came, hours = score[dated][order], usable[order]
    if base <= 0 or rate == 0 or len(came) == 0:
        return np.full(len(acts_at), base)
    begins, first = np.unique(hours, return_index=True)
    slope, outside, worth = width_per_level(interval["coverage"]), 1 - interval["coverage"], interval["design_effect"]
    path = [base]
    for part in np.split(came, first[1:]):
        gap = float(np.mean(part > path[-1])) - outside
        path.append(path[-1] * math.exp(slope * (1 - (1 - rate) ** (len(part) / worth)) * gap))
    moment = acts_at.astype("datetime64[us]")
    place = np.searchsorted(begins, moment, side="right")
    return np.asarray(path)[np.where(np.isnat(moment), 0, place)]


def is_adaptive(spec: PredictiveSpec, scorer: Scorer) -> bool:
    """Whether the intervals of a version follow the labels: those of a number, where the version knows its groups."""
    return spec.task == "regression" and spec.interval_rate > 0 and "design_effect" in scorer.bundle["interval"]


def adapted(
    spec: PredictiveSpec,
    scorer: Scorer,
    finished: dict[str, Array],
    acts_at: Array | None,
    seen: tuple[Array, Array] | None,
) -> dict[str, Array]:
    """Answers with intervals as wide as the labels known by then say.

    Args:
        spec: the solution.
        scorer: the version.
        finished: its columns `value`, `low` and `high`.
        acts_at: when each row acts; None for a table without time.
        seen: absolute errors of rows that it has not learnt from, and when their labels became known; None: none.
    """
    if acts_at is None or seen is None or not is_adaptive(spec, scorer):
        return finished
    width = widths_at(scorer.bundle["interval"], spec.interval_rate, *seen, acts_at)
    return {**finished, "low": finished["value"] - width, "high": finished["value"] + width}
