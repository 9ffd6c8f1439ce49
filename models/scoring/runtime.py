"""The predictor that travels with a model: table in, predictions out. Nothing of this project is imported here.

A copy of this very file lies beside the native boosters in every logged model, so training, scoring and the
MLflow pyfunc build features and predictions with the same lines. A bundle is a folder:

- `bundle.json`: format number, task, features with their code books, calibration, interval, threshold;
- native boosters (`*.txt` LightGBM, `*.ubj` XGBoost) or JSON coefficients (`*.json` linear), of one member or several
  whose answers are averaged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

FORMAT = 1
Array = npt.NDArray[Any]
_TINY = 1e-7


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


def softmax(margin: Array) -> Array:
    """Margins (n, classes) to probabilities."""
    shifted = np.exp(margin - margin.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def logit(probability: Array) -> Array:
    """Probabilities to log-odds, kept finite."""
    clipped = np.clip(probability.astype(np.float64), _TINY, 1 - _TINY)
    return np.asarray(np.log(clipped / (1 - clipped)))


def numbers(column: pa.ChunkedArray) -> Array:
    """An Arrow column of numbers, booleans or decimals to float32, missing and infinite as NaN."""
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan, dtype=np.float32)
    if pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    if not pa.types.is_float32(column.type):
        column = pc.cast(column, pa.float32(), safe=False)
    return np.asarray(column.to_numpy(), dtype=np.float32)


def codes(column: pa.ChunkedArray, book: list[str]) -> Array:
    """An Arrow column of categories to its code in the learnt book; missing and unseen as NaN."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    found = pc.index_in(column, value_set=pa.array(book, pa.string()))
    return np.asarray(found.cast(pa.float32()).to_numpy(), dtype=np.float32)


COMBINE: dict[str, Callable[[Array, Array], Array]] = {"x": np.multiply, "/": np.divide, "-": np.subtract}


def raw_columns(features: list[dict[str, Any]]) -> list[str]:
    """Columns that a contract reads; a built feature is made of some of them, a fused one of columns of its own."""
    own = [[feature["name"]] if feature["kind"] != "fused" else feature["of"] for feature in features]
    made = {feature["name"] for feature in features if feature["kind"] == "built"}
    return list(dict.fromkeys(name for names in own for name in names if name not in made))


def matrix(table: pa.Table, features: list[dict[str, Any]]) -> Array:
    """The feature matrix that learners see: float32 (n, features), rows contiguous, missing as NaN.

    Args:
        table: holds every feature's column by name; other columns are ignored.
        features: the contract: `name`, `kind` (`number`, `category`, `built` or `fused`), the `book` of a category,
            `op` and `of` (two numbers before it) of what is built, and `of` (columns), `weights` and `mean` of a
            weighted sum.

    Raises:
        KeyError: a feature's column is missing.
    """
    present = set(table.column_names)
    missing = [name for name in raw_columns(features) if name not in present]
    if missing:
        raise KeyError(f"columns missing for this model: {', '.join(missing[:10])}")
    out = np.empty((table.num_rows, len(features)), dtype=np.float32)
    places = {feature["name"]: place for place, feature in enumerate(features)}
    summed = dict.fromkeys(name for feature in features if feature["kind"] == "fused" for name in feature["of"])
    read = {name: numbers(table.column(name)) for name in summed}
    for place, feature in enumerate(features):
        if feature["kind"] == "fused":
            out[:, place] = _fused(feature, read)
            continue
        if feature["kind"] == "built":
            a, b = (out[:, places[name]] for name in feature["of"])
            with np.errstate(all="ignore"):  # what has no value becomes missing below
                out[:, place] = COMBINE[feature["op"]](a, b)
            continue
        column = table.column(feature["name"])
        out[:, place] = numbers(column) if feature["kind"] == "number" else codes(column, feature["book"])
    out[np.isinf(out)] = np.nan
    return out


def _fused(feature: dict[str, Any], read: dict[str, Array]) -> Array:
    """Weighted sum of columns less their means; one that is missing counts as its mean, all of them as missing."""
    off = np.column_stack([read[name] for name in feature["of"]]) - np.asarray(feature["mean"])
    there = ~np.isnan(off)
    total = np.where(there, off, 0.0) @ np.asarray(feature["weights"], dtype=np.float64)
    return np.where(there.any(axis=1), total, np.nan)


def calibrate(raw: Array, calibration: dict[str, Any]) -> Array:
    """Raw probabilities to calibrated ones.

    `platt`: logistic of slope and intercept on the log-odds; `isotonic`: piecewise linear through fitted points;
    `temperature`: softmax of log-probabilities over a temperature (multiclass); `none`: unchanged.
    """
    kind = calibration["kind"]
    if kind == "platt":
        return np.asarray(1.0 / (1.0 + np.exp(-(calibration["slope"] * logit(raw) + calibration["intercept"]))))
    if kind == "isotonic":
        return np.asarray(np.interp(raw, calibration["x"], calibration["y"]))
    if kind == "temperature":
        return softmax(np.log(np.clip(raw, _TINY, 1.0)) / calibration["temperature"])
    return raw


def remaining_life(raw: Array, life: dict[str, Any]) -> dict[str, Array]:
    """Predicted lives to `value`, `low`, `high` and the `probability` of the event within the horizon.

    What was seen in validation at the predictions `at` is interpolated between them; beyond them it stays the same.
    """
    at_most = np.inf if life["at_most"] is None else life["at_most"]
    value = np.clip(raw, 0.0, at_most)
    low, high, probability = (np.interp(value, life["at"], life[name]) for name in ("low", "high", "probability"))
    return {
        "value": value,
        "low": np.maximum(np.minimum(low, value), 0.0),
        "high": np.minimum(np.maximum(high, value), at_most),
        "probability": probability,
    }


class Scorer:
    """A loaded bundle.

    Args:
        bundle: content of `bundle.json`.
        boosters: of each member one, or one per quantile, member by member.
    """

    def __init__(self, bundle: dict[str, Any], boosters: list[Booster]) -> None:
        if bundle["format"] != FORMAT:
            raise ValueError(f"model format {bundle['format']}, this runtime reads {FORMAT}")
        self.bundle = bundle
        self.boosters = boosters
        self.task: str = bundle["task"]
        per_member = len(bundle["quantiles"]) if self.task == "quantile" else 1
        self.members = [boosters[place : place + per_member] for place in range(0, len(boosters), per_member)]

    @classmethod
    def load(cls, folder: Path, n_threads: int = 1) -> Scorer:
        """Read a bundle's folder."""
        bundle = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        files = [folder / name for name in bundle["boosters"]]
        return cls(bundle, [LOADERS[file.suffix](file, n_threads) for file in files])

    def matrix(self, table: pa.Table) -> Array:
        """See `matrix`."""
        return matrix(table, self.bundle["features"])

    def raw(self, x: Array) -> Array:
        """Uncalibrated outputs, the members' mean: (n,) or (n, outputs); quantiles in rising order."""
        if self.task == "quantile":
            each = [np.sort(np.column_stack([part.predict(x) for part in member]), axis=1) for member in self.members]
        else:
            each = [member[0].predict(x) for member in self.members]
        return np.asarray(np.mean(each, axis=0))

    def finish(self, raw: Array) -> dict[str, Array]:
        """Outputs to the columns `value`, `low`, `high`, `probability`, `class` (those that apply)."""
        names = np.asarray(self.bundle["classes"], dtype=object)
        if self.task == "binary":
            probability = calibrate(raw, self.bundle["calibration"])
            decided = names[(probability >= self.bundle["threshold"]).astype(int)]
            return {"value": probability, "probability": probability, "class": decided}
        if self.task == "multiclass":
            every = calibrate(raw, self.bundle["calibration"])
            decided = self._cheapest(every)
            best = every[np.arange(len(every)), decided]
            return {"value": best, "probability": best, "class": names[decided]}
        if "life" in self.bundle:
            return remaining_life(raw, self.bundle["life"])
        interval = self.bundle["interval"]
        low, middle, high = (raw[:, 0], raw[:, 1], raw[:, 2]) if raw.ndim == 2 else (raw, raw, raw)
        return {"value": middle, "low": low - interval["below"], "high": high + interval["above"]}

    def _cheapest(self, probabilities: Array) -> Array:
        """Multiclass decision: the class of least expected cost; without costs the likeliest."""
        costs = self.bundle.get("cost_matrix")
        if costs is None:
            return np.asarray(probabilities.argmax(axis=1))
        return np.asarray((probabilities @ np.asarray(costs)).argmin(axis=1))

    def predict(self, table: pa.Table) -> dict[str, Array]:
        """A table with the features' columns to the columns of `finish`."""
        return self.finish(self.raw(self.matrix(table)))

    def contributions(self, x: Array) -> Array:
        """Contribution of each feature to each row, (n, features); for multiclass to the class that is decided."""
        middle = 1 if self.task == "quantile" else 0
        out = np.asarray(np.mean([member[middle].contributions(x) for member in self.members], axis=0))
        if out.ndim == 3:
            decided = self._cheapest(calibrate(self.raw(x), self.bundle["calibration"]))
            out = out[np.arange(len(x)), decided]
        return out

    def reasons(self, x: Array, top_k: int) -> list[str]:
        """The `top_k` strongest contributions of each row as JSON: feature, value (or category), contribution."""
        parts = self.contributions(x)
        features = self.bundle["features"]
        order = np.argsort(-np.abs(parts), axis=1)[:, :top_k]
        rows = zip(x, parts, order, strict=True)
        return [json.dumps([_reason(features[j], values[j], row[j]) for j in places]) for values, row, places in rows]


def _reason(feature: dict[str, Any], value: float, contribution: float) -> dict[str, Any]:
    """One reason as plain values."""
    shown: float | str | None = None if np.isnan(value) else float(f"{value:.6g}")
    if shown is not None and feature["kind"] == "category":
        shown = feature["book"][int(value)]
    return {"feature": feature["name"], "value": shown, "contribution": float(f"{contribution:.4g}")}
