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
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .boosters import LOADERS, Booster, softmax  # noqa: TID252 - this file and that one lie beside each other in every bundle too

FORMAT = 1
Array = npt.NDArray[Any]
_TINY = 1e-7


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
