"""Ridge and logistic regression behind the protocol: the fair candidate for small tables.

Physical laws are often products of powers, which are linear in logarithms: shape `log` takes those of all positive
numbers, and of a positive target.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.estimators.base import Fit, Fold, Problem, Watch, loss
from models.scoring.boosters import LinearBooster
from models.scoring.runtime import Array

MAX_ROWS = 20_000
MAX_CELLS = 5_000_000
_MAX_CATEGORIES = 30


class Linear:
    """One fit by regularised least squares or logistic regression; rounds do not apply."""

    library = "linear"

    def suggest(self, trial: Any) -> dict[str, Any]:
        """See `Estimator`."""
        return {
            "strength": trial.suggest_float("linear_strength", 1e-2, 1e5, log=True),
            "shape": trial.suggest_categorical("linear_shape", ["plain", "log"]),
        }

    def starts(self) -> list[dict[str, Any]]:
        """See `Estimator`."""
        return [{"linear_strength": 10.0, "linear_shape": "plain"}, {"linear_strength": 10.0, "linear_shape": "log"}]

    def terms(self, problem: Problem, x: Array, shape: str) -> dict[str, Any]:
        """Terms of the design: each number once, each frequent category once, standardised."""
        column: list[int] = []
        code: list[float | None] = []
        for place in range(x.shape[1]):
            if place not in problem.categories:
                column.append(place)
                code.append(None)
                continue
            seen = np.unique(x[:, place][~np.isnan(x[:, place])])[:_MAX_CATEGORIES]
            column += [place] * len(seen)
            code += [float(value) for value in seen]
        values = x[:, column].astype(np.float64)
        is_category = np.asarray([value is not None for value in code])
        values[:, is_category] = values[:, is_category] == np.asarray([v for v in code if v is not None])
        is_log = ~is_category & (np.nanmin(np.where(np.isnan(values), np.inf, values), axis=0) > 0) & (shape == "log")
        values[:, is_log] = np.log(values[:, is_log])
        present = ~np.isnan(values)
        count = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, values, 0).sum(axis=0) / count
        spread = np.sqrt(np.where(present, (values - mean) ** 2, 0).sum(axis=0) / count)
        scale = np.where(spread > 1e-12 * (1 + np.abs(mean)), spread, np.inf)
        scale = np.where(np.isinf(scale), 1e30, scale)
        return {
            "column": column,
            "code": code,
            "is_log": is_log.tolist(),
            "mean": mean.tolist(),
            "scale": scale.tolist(),
        }

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
        shape = str(params["shape"])
        held = f"{self.library} {shape}"
        if held not in fold.cache:
            terms = self.terms(problem, fold.x, shape)
            blank = {**terms, "coefficients": [[]], "intercept": [0.0], "link": "identity"}
            fold.cache[held] = (terms, LinearBooster(blank).design(fold.x))
        terms, design = fold.cache[held]
        fitted = {**terms, **_solve(problem, design, fold.y, float(params["strength"]), shape)}
        booster = LinearBooster(fitted)
        curve = []
        if fold.x_valid is not None and fold.y_valid is not None:
            curve = [loss(problem.task, fold.y_valid, booster.predict(fold.x_valid), problem.quantile)]
        return Fit(booster, 1, curve)


def _solve(problem: Problem, design: Array, y: Array, strength: float, shape: str) -> dict[str, Any]:
    """Coefficients (outputs, terms) and intercepts; `strength` is the L2 penalty per coefficient."""
    if problem.task == "regression" and shape == "log" and y.min() > 0:
        return {**_ridge(design, np.log(y), strength), "link": "exp"}
    if problem.task == "regression":
        return _ridge(design, y, strength)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0 / strength, max_iter=200, tol=1e-3)
    model.fit(design, y.astype(int))
    if problem.task == "binary":
        return {"coefficients": model.coef_.tolist(), "intercept": model.intercept_.tolist(), "link": "logit"}
    coefficients = np.zeros((problem.n_classes, design.shape[1]))
    intercept = np.full(problem.n_classes, -30.0)  # a class without training rows is all but impossible
    seen = model.classes_.astype(int)
    if len(seen) == 2:
        coefficients[seen[1]], intercept[seen[0]], intercept[seen[1]] = model.coef_[0], 0.0, model.intercept_[0]
    else:
        coefficients[seen], intercept[seen] = model.coef_, model.intercept_
    return {"coefficients": coefficients.tolist(), "intercept": intercept.tolist(), "link": "softmax"}


def _ridge(design: Array, y: Array, strength: float) -> dict[str, Any]:
    """Ridge regression in the smaller of its two forms, so that 1,500 columns on 600 rows are quick."""
    centre = float(y.mean())
    offset = design.mean(axis=0)
    centred = design - offset
    rows, terms = centred.shape
    if terms <= rows:
        weights = np.linalg.solve(centred.T @ centred + strength * np.eye(terms), centred.T @ (y - centre))
    else:
        weights = centred.T @ np.linalg.solve(centred @ centred.T + strength * np.eye(rows), y - centre)
    return {"coefficients": [weights.tolist()], "intercept": [centre - float(offset @ weights)], "link": "identity"}
