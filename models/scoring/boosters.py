"""What predicts from numbers: native boosters and linear terms behind one interface. Part of every bundle.

A copy of this file lies beside that of `runtime.py` in every logged model; nothing of this project is imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def softmax(margin: Array) -> Array:
    """Margins (n, classes) to probabilities."""
    shifted = np.exp(margin - margin.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


class Booster(Protocol):
    """A fitted learner in its library's own format."""

    def predict(self, x: Array) -> Array:
        """Rows to values: (n,) for one output, (n, classes) for multiclass; probabilities where they apply."""

    def contributions(self, x: Array) -> Array:
        """Rows to additive contributions on the margin scale: (n, features) or (n, classes, features)."""

    def save(self, folder: Path, stem: str) -> str:
        """Write the native format; returns the file's name."""


class LightGBMBooster:
    """A LightGBM model in its text format."""

    def __init__(self, native: Any, n_threads: int = 1) -> None:
        self.native = native
        self.n_threads = n_threads

    @classmethod
    def load(cls, file: Path, n_threads: int) -> LightGBMBooster:
        """Read a model file."""
        import lightgbm

        return cls(lightgbm.Booster(model_file=str(file)), n_threads)

    def predict(self, x: Array) -> Array:
        """See `Booster`."""
        return np.asarray(self.native.predict(x, num_threads=self.n_threads))

    def contributions(self, x: Array) -> Array:
        """See `Booster`; the bias column is dropped."""
        out = np.asarray(self.native.predict(x, pred_contrib=True, num_threads=self.n_threads))
        width = x.shape[1] + 1
        if out.shape[1] == width:
            return out[:, :-1]
        return out.reshape(len(x), -1, width)[:, :, :-1]

    def save(self, folder: Path, stem: str) -> str:
        """See `Booster`."""
        self.native.save_model(str(folder / f"{stem}.txt"))
        return f"{stem}.txt"


class XGBoostBooster:
    """An XGBoost model in its binary JSON format."""

    def __init__(self, native: Any, n_threads: int = 1) -> None:
        self.native = native
        self.native.set_param({"nthread": n_threads})
        self.n_threads = n_threads

    @classmethod
    def load(cls, file: Path, n_threads: int) -> XGBoostBooster:
        """Read a model file."""
        import xgboost

        return cls(xgboost.Booster(model_file=str(file)), n_threads)

    def predict(self, x: Array) -> Array:
        """See `Booster`."""
        return np.asarray(self.native.inplace_predict(x, validate_features=False))

    def contributions(self, x: Array) -> Array:
        """See `Booster`; the bias column is dropped."""
        import xgboost

        data = xgboost.DMatrix(x, feature_types=self.native.feature_types, nthread=self.n_threads)
        out = np.asarray(self.native.predict(data, pred_contribs=True, validate_features=False))
        return out[..., :-1]

    def save(self, folder: Path, stem: str) -> str:
        """See `Booster`."""
        self.native.save_model(str(folder / f"{stem}.ubj"))
        return f"{stem}.ubj"


class LinearBooster:
    """A regularised linear model as JSON: standardised numbers (missing: the mean) and one-hot categories.

    Terms of which `is_log` says so are logarithms; link `exp` says the same of the target.
    """

    def __init__(self, terms: dict[str, Any]) -> None:
        self.terms = terms
        self._column = np.asarray(terms["column"], dtype=np.int64)
        self._code = np.asarray([np.nan if c is None else c for c in terms["code"]], dtype=np.float64)
        self._is_log = np.asarray(terms.get("is_log", [False] * len(self._column)), dtype=bool)  # none before
        self._mean = np.asarray(terms["mean"], dtype=np.float64)
        self._scale = np.asarray(terms["scale"], dtype=np.float64)
        self._coefficients = np.asarray(terms["coefficients"], dtype=np.float64)
        self._intercept = np.asarray(terms["intercept"], dtype=np.float64)

    @classmethod
    def load(cls, file: Path, n_threads: int) -> LinearBooster:  # noqa: ARG003 - same call for all
        """Read a model file."""
        return cls(json.loads(file.read_text(encoding="utf-8")))

    def design(self, x: Array) -> Array:
        """Rows to standardised terms (n, terms)."""
        values = x[:, self._column].astype(np.float64)
        is_category = ~np.isnan(self._code)
        values[:, is_category] = values[:, is_category] == self._code[is_category]
        positive = np.where(values > 0, values, np.nan)  # a value never seen in training counts as missing
        values = np.where(self._is_log, np.log(positive), values)
        out = (values - self._mean) / self._scale
        return np.asarray(np.nan_to_num(out, nan=0.0))

    def predict(self, x: Array) -> Array:
        """See `Booster`."""
        margin = self.design(x) @ self._coefficients.T + self._intercept
        if self.terms["link"] == "logit":
            return np.asarray(1.0 / (1.0 + np.exp(-margin[:, 0])))
        if self.terms["link"] == "softmax":
            return softmax(margin)
        return np.asarray(np.exp(margin[:, 0]) if self.terms["link"] == "exp" else margin[:, 0])

    def contributions(self, x: Array) -> Array:
        """See `Booster`; the terms of one feature are added up.

        Of a target in logarithms each row's are scaled so that they add up in the target's own unit, as a booster's do.
        """
        parts = np.zeros((x.shape[1], len(x), len(self._coefficients)))
        np.add.at(parts, self._column, np.moveaxis(self.design(x)[:, None, :] * self._coefficients, -1, 0))
        out = np.moveaxis(parts, 0, -1)
        if self.terms["link"] == "exp":
            whole = out[:, 0].sum(axis=1)
            grown = np.divide(np.expm1(whole), whole, out=np.ones_like(whole), where=whole != 0)
            out *= np.exp(self._intercept[0]) * grown[:, None, None]
        return out[:, 0] if len(self._coefficients) == 1 else out

    def save(self, folder: Path, stem: str) -> str:
        """See `Booster`."""
        (folder / f"{stem}.json").write_text(json.dumps(self.terms), encoding="utf-8")
        return f"{stem}.json"


LOADERS: dict[str, Callable[[Path, int], Booster]] = {
    ".txt": LightGBMBooster.load,
    ".ubj": XGBoostBooster.load,
    ".json": LinearBooster.load,
}
