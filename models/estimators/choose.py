"""Which learners a problem is tried with."""

from __future__ import annotations

from models.estimators.base import Estimator, Problem
from models.spec import Library


def estimator(library: str) -> Estimator:
    """The learner of a library's name."""
    if library == "lightgbm":
        from models.estimators.lightgbm import LightGBM

        return LightGBM()
    if library == "xgboost":
        from models.estimators.xgboost import XGBoost

        return XGBoost()
    from models.estimators.linear import Linear

    return Linear()


def candidates(libraries: list[Library], problem: Problem, n_rows: int, n_columns: int) -> list[Estimator]:
    """The learners to try: linear only for small tables, without quantiles and monotone constraints."""
    from models.estimators.linear import MAX_CELLS, MAX_ROWS

    out = []
    for library in libraries:
        unfit = (
            problem.task == "quantile" or any(problem.monotone) or n_rows > MAX_ROWS or n_rows * n_columns > MAX_CELLS
        )
        if library == "linear" and unfit and len(libraries) > 1:
            continue
        out.append(estimator(library))
    return out
