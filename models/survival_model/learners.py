"""Learners for lives of which some are only known between bounds: boosting and Weibull regression.

Boosted squared error looks at how far a prediction lies outside the bounds: a life that went on when last seen cannot
be predicted too long. XGBoost's accelerated failure time (Barnwal, Cho and Hocking 2022) and Weibull regression weigh
the bounds by a distribution instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import xgboost as xgb

from models.estimators.base import Estimator, Fit, Fold, Problem, Watch
from models.estimators.lightgbm import LightGBM, recorder
from models.estimators.xgboost import Record, XGBoost
from models.scoring.boosters import LightGBMBooster, XGBoostBooster
from models.scoring.runtime import Array
from models.survival_model.folds import LifeFold, life_rmse, outside, positive_bounds
from models.survival_model.weibull import Weibull

METRIC = "life_rmse"


def _squared(lower: Array, upper: Array) -> Callable[[Array, Any], tuple[Array, Array]]:
    """Gradient and curvature of half the squared distance; between the bounds a row keeps its weight in a leaf."""

    def objective(predicted: Array, _data: Any) -> tuple[Array, Array]:
        return outside(predicted, lower, upper), np.ones(len(predicted))

    return objective


class LifeLightGBM(LightGBM):
    """LightGBM on bounds; where all lives are known it is the library's own squared error."""

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
        if not isinstance(fold, LifeFold) or fold.is_exact:
            return super().fit(problem, fold, params, rounds, stop_after, watch)
        fixed = self.fixed(problem, fold.x.shape[1]) | {"objective": _squared(*fold.bounds), "metric": "none"}
        middle = float(np.mean(fold.y))  # the library starts at 0 where the objective is not its own
        plain = {name: value for name, value in fixed.items() if name != "objective"}
        options = {"params": plain, "categorical_feature": list(problem.categories)}
        train = lgb.Dataset(fold.x, label=fold.y, init_score=np.full(len(fold.y), middle), **options)
        watching = fold.x_valid is not None and stop_after > 0
        curve: list[float] = []

        more: dict[str, Any] = {}
        if watching:
            begin = np.full(len(np.asarray(fold.y_valid)), middle)
            valid = lgb.Dataset(fold.x_valid, label=fold.y_valid, init_score=begin, reference=train, **options)
            more = {
                "valid_sets": [valid],
                "feval": lambda predicted, _: (METRIC, life_rmse(fold, predicted), False),
                "callbacks": [recorder(curve, watch), lgb.early_stopping(stop_after, verbose=False)],
            }
        native = lgb.train({**fixed, **params}, train, num_boost_round=rounds, **more)
        best = native.best_iteration if watching and native.best_iteration > 0 else rounds
        return Fit(LightGBMBooster(_raised(native, middle), problem.n_threads), best, curve)


def _raised(native: Any, middle: float) -> Any:
    """The start added to the first tree's leaves, so that the model file holds all of the prediction."""
    leaves = native.dump_model(num_iteration=1)["tree_info"][0]["num_leaves"]
    for leaf in range(leaves):
        native.set_leaf_output(0, leaf, native.get_leaf_output(0, leaf) + middle)
    return native


class LifeXGBoost(XGBoost):
    """XGBoost on bounds: squared distance or accelerated failure time, which the search chooses between."""

    def suggest(self, trial: Any) -> dict[str, Any]:
        """See `Estimator`."""
        shape = trial.suggest_categorical("xgb_life", ["squared", "normal", "extreme"])
        out: dict[str, Any] = {"life": shape, **super().suggest(trial)}
        if shape != "squared":
            out["aft_loss_distribution_scale"] = trial.suggest_float("xgb_aft_scale", 0.1, 1.5, log=True)
        return out

    def starts(self) -> list[dict[str, Any]]:
        """See `Estimator`."""
        plain = super().starts()[0]
        return [
            {**plain, "xgb_life": "squared"},
            {**plain, "xgb_life": "normal", "xgb_aft_scale": 0.5},
        ]

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
        if not isinstance(fold, LifeFold):
            raise TypeError("lives are learnt from folds with bounds")
        shape = str(params["life"])
        if shape == "squared" and fold.is_exact:
            rest = {name: value for name, value in params.items() if name != "life"}
            return super().fit(problem, fold, rest, rounds, stop_after, watch)
        train, valid = self._life_sets(problem, fold)
        everything = self._life_params(problem, params, fold)
        own = {"obj": _squared(*fold.bounds)} if shape == "squared" else {}
        if valid is None or stop_after == 0:
            native = xgb.train(everything, train, num_boost_round=rounds, **own)
            return Fit(XGBoostBooster(native, problem.n_threads), rounds, [])
        record = Record(METRIC, watch)
        native = xgb.train(
            everything,
            train,
            num_boost_round=rounds,
            evals=[(valid, "valid")],
            verbose_eval=False,
            custom_metric=lambda predicted, _: (METRIC, life_rmse(fold, predicted)),
            callbacks=[record, xgb.callback.EarlyStopping(rounds=stop_after, metric_name=METRIC, maximize=False)],
            **own,
        )
        best = int(native.best_iteration) + 1
        return Fit(XGBoostBooster(native[:best], problem.n_threads), best, record.curve)

    def _life_params(self, problem: Problem, params: dict[str, Any], fold: LifeFold) -> dict[str, Any]:
        out = {name: value for name, value in {**self.fixed(problem), **params}.items() if name != "life"}
        shape = params["life"]
        out |= {"disable_default_eval_metric": 1, "base_score": float(np.mean(fold.y))}
        if shape != "squared":
            out |= {"objective": "survival:aft", "aft_loss_distribution": shape}
            out.pop("eval_metric")
        return out

    def _life_sets(self, problem: Problem, fold: LifeFold) -> tuple[Any, Any]:
        """The fold's data with its bounds, built once."""
        held = "xgboost life"
        if held not in fold.cache:
            kinds = ["c" if place in problem.categories else "q" for place in range(fold.x.shape[1])]
            options = {"feature_types": kinds, "enable_categorical": True, "nthread": problem.n_threads}
            train = xgb.DMatrix(fold.x, label=fold.y, **options)
            lower, upper = positive_bounds(*fold.bounds, fold.cap)
            train.set_float_info("label_lower_bound", lower)
            train.set_float_info("label_upper_bound", upper)
            valid = None if fold.x_valid is None else xgb.DMatrix(fold.x_valid, label=fold.y_valid, **options)
            fold.cache[held] = (train, valid)
        train, valid = fold.cache[held]
        return train, valid


def life_candidates(libraries: list[str]) -> list[Estimator]:
    """The learners by the names that the YAML gives them."""
    known: dict[str, Callable[[], Estimator]] = {"lightgbm": LifeLightGBM, "xgboost": LifeXGBoost, "linear": Weibull}
    return [known[name]() for name in libraries]
