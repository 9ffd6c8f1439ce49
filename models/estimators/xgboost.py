"""XGBoost behind the protocol."""

from __future__ import annotations

from typing import Any

import xgboost as xgb

from models.estimators.base import REPORT_EVERY, Fit, Fold, Problem, Watch
from models.scoring.boosters import XGBoostBooster

_OBJECTIVES = {
    "regression": "reg:squarederror",
    "quantile": "reg:quantileerror",
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
}
_METRICS = {"regression": "rmse", "quantile": "quantile", "binary": "logloss", "multiclass": "mlogloss"}


class Record(xgb.callback.TrainingCallback):  # type: ignore[misc] # the library has no types here
    """Keeps the validation curve and reports it."""

    def __init__(self, metric: str, watch: Watch | None) -> None:
        super().__init__()
        self.metric = metric
        self.watch = watch
        self.curve: list[float] = []

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002 - the library's call
        """Read the newest validation loss; never stops by itself."""
        self.curve.append(float(evals_log["valid"][self.metric][-1]))
        if self.watch is not None and epoch % REPORT_EVERY == REPORT_EVERY - 1:
            self.watch(epoch + 1, min(self.curve))
        return False


class XGBoost:
    """Gradient boosting by depth, histogram method."""

    library = "xgboost"

    def suggest(self, trial: Any) -> dict[str, Any]:
        """See `Estimator`."""
        return {
            "learning_rate": trial.suggest_float("xgb_learning_rate", 0.03, 0.3, log=True),
            "max_depth": trial.suggest_int("xgb_max_depth", 2, 8),
            "min_child_weight": trial.suggest_float("xgb_min_child_weight", 0.5, 50.0, log=True),
            "colsample_bytree": trial.suggest_float("xgb_colsample_bytree", 0.4, 1.0),
            "subsample": trial.suggest_float("xgb_subsample", 0.6, 1.0),
            "reg_lambda": trial.suggest_float("xgb_reg_lambda", 1e-3, 30.0, log=True),
        }

    def starts(self) -> list[dict[str, Any]]:
        """See `Estimator`."""
        return [
            {
                "xgb_learning_rate": 0.1,
                "xgb_max_depth": 6,
                "xgb_min_child_weight": 2.0,
                "xgb_colsample_bytree": 0.8,
                "xgb_subsample": 0.8,
                "xgb_reg_lambda": 1.0,
            }
        ]

    def fixed(self, problem: Problem) -> dict[str, Any]:
        """Parameters that follow from the problem."""
        out: dict[str, Any] = {
            "objective": _OBJECTIVES[problem.task],
            "eval_metric": _METRICS[problem.task],
            "tree_method": "hist",
            "max_bin": problem.max_bin + 1,
            "nthread": problem.n_threads,
            "seed": problem.seed,
            "verbosity": 0,
        }
        if problem.task == "multiclass":
            out["num_class"] = problem.n_classes
        if problem.task == "quantile":
            out["quantile_alpha"] = problem.quantile
        if any(problem.monotone) and problem.task in ("regression", "binary"):
            out["monotone_constraints"] = "(" + ",".join(str(sign) for sign in problem.monotone) + ")"
        return out

    def _sets(self, problem: Problem, fold: Fold) -> tuple[Any, Any]:
        """The fold's binned data, built once."""
        if self.library not in fold.cache:
            kinds = ["c" if place in problem.categories else "q" for place in range(fold.x.shape[1])]
            options = {
                "feature_types": kinds,
                "enable_categorical": True,
                "max_bin": problem.max_bin + 1,
                "nthread": problem.n_threads,
            }
            train = xgb.QuantileDMatrix(fold.x, label=fold.y, **options)
            valid = None
            if fold.x_valid is not None:
                # Plain numbers: on binned ones the validation of a round takes up to twice as long as its learning.
                plain = {name: value for name, value in options.items() if name != "max_bin"}
                valid = xgb.DMatrix(fold.x_valid, label=fold.y_valid, **plain)
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
        train, valid = self._sets(problem, fold)
        everything = {**self.fixed(problem), **params}
        if valid is None or stop_after == 0:
            return Fit(
                XGBoostBooster(xgb.train(everything, train, num_boost_round=rounds), problem.n_threads), rounds, []
            )
        record = Record(_METRICS[problem.task], watch)
        native = xgb.train(
            everything,
            train,
            num_boost_round=rounds,
            evals=[(valid, "valid")],
            verbose_eval=False,
            callbacks=[record, xgb.callback.EarlyStopping(rounds=stop_after)],
        )
        best = int(native.best_iteration) + 1
        # A slice, so that predicting uses the best round only, as LightGBM does by itself.
        return Fit(XGBoostBooster(native[:best], problem.n_threads), best, record.curve)
