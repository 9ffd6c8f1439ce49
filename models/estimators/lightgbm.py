"""LightGBM behind the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb

from models.estimators.base import REPORT_EVERY, Fit, Fold, Problem, Watch
from models.scoring.boosters import LightGBMBooster

_OBJECTIVES = {"regression": "regression", "quantile": "quantile", "binary": "binary", "multiclass": "multiclass"}
_METRICS = {"regression": "rmse", "quantile": "quantile", "binary": "binary_logloss", "multiclass": "multi_logloss"}
_WIDE = 100  # columns from which building histograms by column pays on few cores


def recorder(curve: list[float], watch: Watch | None) -> Callable[[Any], None]:
    """A callback that keeps the validation curve and reports it."""

    def record(env: Any) -> None:
        curve.append(float(env.evaluation_result_list[0][2]))
        if watch is not None and env.iteration % REPORT_EVERY == REPORT_EVERY - 1:
            watch(env.iteration + 1, min(curve))

    return record


class LightGBM:
    """Gradient boosting by leaf."""

    library = "lightgbm"

    def suggest(self, trial: Any) -> dict[str, Any]:
        """See `Estimator`."""
        return {
            "learning_rate": trial.suggest_float("lgb_learning_rate", 0.03, 0.3, log=True),
            "num_leaves": trial.suggest_int("lgb_num_leaves", 7, 95, log=True),
            "min_data_in_leaf": trial.suggest_int("lgb_min_data_in_leaf", 5, 200, log=True),
            "feature_fraction": trial.suggest_float("lgb_feature_fraction", 0.4, 1.0),
            "bagging_fraction": trial.suggest_float("lgb_bagging_fraction", 0.6, 1.0),
            "lambda_l2": trial.suggest_float("lgb_lambda_l2", 1e-3, 30.0, log=True),
        }

    def starts(self) -> list[dict[str, Any]]:
        """See `Estimator`; the library's defaults for what a table says clearly, then flat trees for faint causes.

        All columns and all rows of few clear causes, for a cause that needs two columns at once is lost without one.
        """
        sharp = {
            "lgb_learning_rate": 0.1,
            "lgb_num_leaves": 31,
            "lgb_min_data_in_leaf": 20,
            "lgb_feature_fraction": 1.0,
            "lgb_bagging_fraction": 1.0,
            "lgb_lambda_l2": 1e-3,
        }
        flat = {
            "lgb_learning_rate": 0.06,
            "lgb_num_leaves": 8,
            "lgb_min_data_in_leaf": 100,
            "lgb_feature_fraction": 0.6,
            "lgb_bagging_fraction": 0.8,
            "lgb_lambda_l2": 3.0,
        }
        return [sharp, flat]

    def fixed(self, problem: Problem, width: int) -> dict[str, Any]:
        """Parameters that follow from the problem and the number of columns."""
        out: dict[str, Any] = {
            "objective": _OBJECTIVES[problem.task],
            "metric": _METRICS[problem.task],
            "num_threads": problem.n_threads,
            "seed": problem.seed,
            "deterministic": True,
            "bagging_freq": 1,
            "feature_pre_filter": False,
            "max_bin": problem.max_bin,
            "verbosity": -1,
            "force_col_wise" if width >= _WIDE else "force_row_wise": True,
        }
        if problem.task == "multiclass":
            out["num_class"] = problem.n_classes
        if problem.task == "quantile":
            out["alpha"] = problem.quantile
        if any(problem.monotone) and problem.task in ("regression", "binary"):
            out["monotone_constraints"] = list(problem.monotone)
        return out

    def _sets(self, problem: Problem, fold: Fold, fixed: dict[str, Any]) -> tuple[Any, Any]:
        """The fold's binned data, built once."""
        if self.library not in fold.cache:
            options = {"params": fixed, "categorical_feature": list(problem.categories), "free_raw_data": False}
            train = lgb.Dataset(fold.x, label=fold.y, **options)
            valid = None
            if fold.x_valid is not None:
                valid = lgb.Dataset(fold.x_valid, label=fold.y_valid, reference=train, **options)
            fold.cache[self.library] = (train, valid)
        train, valid = fold.cache[self.library]
        return train, valid

    def fit(
        self,
        problem: Problem,
        fold: Fold,
        params: dict[str, Any],
        rounds: int,
        stop_after: int = 0,
        watch: Watch | None = None,
    ) -> Fit:
        """See `Estimator`."""
        fixed = self.fixed(problem, fold.x.shape[1])
        train, valid = self._sets(problem, fold, fixed)
        curve: list[float] = []

        watching = valid is not None and stop_after > 0
        callbacks = [recorder(curve, watch), lgb.early_stopping(stop_after, verbose=False)] if watching else []
        native = lgb.train(
            {**fixed, **params},
            train,
            num_boost_round=rounds,
            valid_sets=[valid] if watching else None,
            callbacks=callbacks,
        )
        best = native.best_iteration if watching and native.best_iteration > 0 else rounds
        return Fit(LightGBMBooster(native, problem.n_threads), best, curve)
