"""Weibull regression: the logarithm of a life is linear in the features, its error an extreme value.

The accelerated failure time model of Kalbfleisch and Prentice (2002, chapter 3) with bounds on both sides and a ridge
penalty; scipy minimises the likelihood, whose gradient is written out. The design (standardised numbers, one-hot
categories) is the linear learner's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.estimators.base import Fit, Fold, Problem, Watch
from models.estimators.linear import Linear
from models.scoring.boosters import LinearBooster
from models.scoring.runtime import Array
from models.survival_model.folds import LifeFold, life_rmse, positive_bounds

_TINY = 1e-12
_MAX_STEPS = 200


class Weibull:
    """One fit by maximum likelihood; rounds do not apply."""

    library = "linear"

    def suggest(self, trial: Any) -> dict[str, Any]:
        """See `Estimator`."""
        return {"strength": trial.suggest_float("weibull_strength", 1e-2, 1e5, log=True)}

    def starts(self) -> list[dict[str, Any]]:
        """See `Estimator`."""
        return [{"weibull_strength": 10.0}]

    def fit(
        self,
        problem: Problem,
        fold: Fold,
        params: dict[str, Any],
        rounds: int,  # noqa: ARG002 - same call for all
        stop_after: int = 0,  # noqa: ARG002
        watch: Watch | None = None,  # noqa: ARG002
    ) -> Fit:
        """See `Estimator`; `rounds`, `stop_after` and `watch` do not apply."""
        if not isinstance(fold, LifeFold):
            raise TypeError("lives are learnt from folds with bounds")
        if "weibull" not in fold.cache:
            terms = Linear().terms(problem, fold.x, "plain")
            blank = {**terms, "coefficients": [[]], "intercept": [0.0], "link": "identity"}
            fold.cache["weibull"] = (terms, LinearBooster(blank).design(fold.x))
        terms, design = fold.cache["weibull"]
        lower, upper = positive_bounds(*fold.bounds, fold.cap)
        weights, start, spread = fit_weibull(design, np.log(lower), np.log(upper), float(params["strength"]))
        # The median of the fitted distribution, as good a single answer as boosting gives.
        median = start + spread * float(np.log(np.log(2.0)))
        booster = LinearBooster(
            {**terms, "coefficients": [weights.tolist()], "intercept": [median], "link": "exp", "spread": spread}
        )
        curve = []
        if fold.x_valid is not None:
            with np.errstate(over="ignore"):
                curve = [life_rmse(fold, booster.predict(fold.x_valid))]
        return Fit(booster, 1, curve)


def fit_weibull(design: Array, low: Array, high: Array, strength: float) -> tuple[Array, float, float]:
    """Fit by maximum likelihood.

    Args:
        design: standardised terms (n, terms).
        low: logarithm of the lower bounds.
        high: of the upper ones; equal to `low` where the life is known, infinite where no end was seen.
        strength: ridge penalty per squared coefficient.

    Returns:
        Coefficients, intercept (the scale's logarithm) and spread (one over the Weibull shape).
    """
    from scipy.optimize import minimize

    terms = design.shape[1]
    begin = np.zeros(terms + 2)
    begin[terms], begin[terms + 1] = float(np.mean(low)), float(np.log(np.std(low) + 0.1))
    options = {"maxiter": _MAX_STEPS}
    found = minimize(likelihood, begin, (design, low, high, strength), jac=True, method="L-BFGS-B", options=options)
    return found.x[:terms], float(found.x[terms]), float(np.exp(found.x[terms + 1]))


def likelihood(at: Array, design: Array, low: Array, high: Array, strength: float) -> tuple[float, Array]:
    """Penalised negative log-likelihood per row and its gradient.

    Args:
        at: coefficients, intercept, logarithm of the spread.
        design: see `fit_weibull`, as are the others.
        low: lower bounds.
        high: upper bounds.
        strength: ridge penalty.
    """
    rows, terms = design.shape
    exact, between = low == high, np.isfinite(high) & (low != high)
    weights, start, log_spread = at[:terms], at[terms], at[terms + 1]
    centre, spread = design @ weights + start, np.exp(log_spread)
    a = np.clip((low - centre) / spread, -50.0, 50.0)
    grown = np.exp(a)
    value = grown + np.where(exact, log_spread - a, 0.0)
    by_low, by_high = grown - exact, np.zeros(rows)
    b = np.clip((high[between] - centre[between]) / spread, -50.0, 50.0)
    # What lies between: -log(S(low) - S(high)) = e^a - log(1 - exp(e^a - e^b)).
    gap = np.maximum(np.exp(b) - grown[between], _TINY)
    inside = np.maximum(-np.expm1(-gap), _TINY)
    slope = np.exp(-gap) / inside
    value[between] -= np.log(inside)
    by_low[between] += slope * grown[between]
    by_high[between] = -slope * np.exp(b)
    by_centre = -(by_low + by_high) / spread
    by_spread = float(exact.sum() - by_low @ a - by_high[between] @ b)
    total = float(value.sum()) + 0.5 * strength * float(weights @ weights)
    gradient = np.concatenate([design.T @ by_centre + strength * weights, [by_centre.sum(), by_spread]])
    return total / rows, gradient / rows
