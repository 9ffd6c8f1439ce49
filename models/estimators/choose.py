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


_FINE_ROWS = 20_000  # up to here finer thresholds cost little, beyond they are told apart by chance
_COARSE_BINS, _USUAL_BINS, _FINEST_BINS = 127, 255, 4095
_NARROW = 48  # columns up to which finer than usual is worth its time
_FINE_CELLS = 32_768  # bins of a narrow table's columns together, which a tree's histograms are as long as


def bins(n_rows: int, n_columns: int) -> int:
    """Bins per number column: the fewer rows and columns, the finer a threshold can be placed.

    A bin holds as many rows as any other, so at 255 bins a limit in the outermost percent of the values, where rare
    events lie, has two or three places to stand. On narrow tables finer ones cost next to nothing.
    """
    if n_rows > _FINE_ROWS:
        return _COARSE_BINS
    return min(_FINE_CELLS // n_columns, _FINEST_BINS) if n_columns <= _NARROW else _USUAL_BINS


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
