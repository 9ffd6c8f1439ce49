"""The final fit on a Dask cluster, by the libraries' own `xgboost.dask` and `lightgbm.dask`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from models.context import ModelContext
from models.distributed.cluster import workers
from models.distributed.rows import TrainingSet, for_workers, read_part
from models.estimators.base import Problem
from models.estimators.lightgbm import LightGBM
from models.estimators.xgboost import XGBoost
from models.scoring.boosters import Booster, LightGBMBooster, XGBoostBooster
from models.spec import PredictiveSpec

_OWN_THREADS = ("num_threads", "nthread")  # a worker's own, whatever the driver has


@dataclass(frozen=True)
class Wanted:
    """A booster to be fitted: library, problem, parameters as its `fit` takes them, rounds."""

    library: str
    problem: Problem
    params: dict[str, Any]
    rounds: int


def fit_on_workers(
    spec: PredictiveSpec,
    ctx: ModelContext,
    features: list[dict[str, Any]],
    whole: TrainingSet,
    wanted: Sequence[Wanted],
) -> list[Booster]:
    """Fit boosters on all rows, which each worker reads its part of once.

    Args:
        spec: the solution.
        ctx: snapshot and threads.
        features: the contract.
        whole: the rows to learn.
        wanted: what to fit, one after the other.

    Raises:
        CellworksError: there is no cluster, or a part could not be read.
    """
    import dask.array as da
    import distributed

    with workers(ctx.n_threads) as (client, addresses):
        common = client.scatter((spec, for_workers(ctx), features), broadcast=True, hash=False)
        parts = whole.parts(len(addresses))
        # Where a part is read it stays: both libraries learn where the data lies.
        pairs = [
            client.submit(_read, common, part, workers=[address], pure=False)
            for part, address in zip(parts, addresses, strict=False)
        ]
        distributed.wait(pairs)
        sides = [
            [client.submit(itemgetter(side), pair, pure=False) for pair in pairs]  # runs where its part is
            for side in (0, 1)
        ]
        rows, width = [len(part.y) for part in parts], len(features)
        x = da.concatenate([_array(part, (n, width), np.float32) for part, n in zip(sides[0], rows, strict=True)])
        y = da.concatenate([_array(part, (n,), np.float64) for part, n in zip(sides[1], rows, strict=True)])
        fits = {"lightgbm": _lightgbm, "xgboost": _xgboost}
        return [fits[each.library](client, each, x, y) for each in wanted]


def _read(common: tuple[PredictiveSpec, ModelContext, list[dict[str, Any]]], part: TrainingSet) -> Any:
    spec, ctx, features = common
    return read_part(spec, ctx, features, part)


def _array(future: Any, shape: tuple[int, ...], kind: Any) -> Any:
    import dask.array as da

    return da.from_delayed(future, shape, dtype=kind)


def _lightgbm(client: Any, wanted: Wanted, x: Any, y: Any) -> Booster:
    """One booster; the regressor stands for every task, for the classifier of a part knows only the part's classes."""
    from lightgbm.dask import DaskLGBMRegressor

    problem = wanted.problem
    params = _without_threads(LightGBM().fixed(problem, x.shape[1])) | wanted.params
    model = DaskLGBMRegressor(client=client, n_estimators=wanted.rounds, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that workers have threads of their own
        model.fit(x, y, categorical_feature=list(problem.categories))
    return LightGBMBooster(model.booster_, problem.n_threads)


def _xgboost(client: Any, wanted: Wanted, x: Any, y: Any) -> Booster:
    import xgboost.dask as xgb

    problem = wanted.problem
    kinds = ["c" if place in problem.categories else "q" for place in range(x.shape[1])]
    params = _without_threads(XGBoost().fixed(problem)) | wanted.params
    data = xgb.DaskQuantileDMatrix(
        client, x, y, feature_types=kinds, enable_categorical=True, max_bin=params["max_bin"]
    )
    native = xgb.train(client, params, data, num_boost_round=wanted.rounds)["booster"]
    return XGBoostBooster(native, problem.n_threads)


def _without_threads(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in _OWN_THREADS}
