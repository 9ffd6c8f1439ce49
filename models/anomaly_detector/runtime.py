"""The detector that travels with a model: table in, score over limit out. Nothing of this project is imported here.

A copy of this very file lies beside `bundle.json` in every logged model, so that learning, scoring and the MLflow
pyfunc judge a row with the same lines. Whatever was learnt is numbers in that file; nothing is pickled. Two kinds of
bundle:

- `series`: what each entity's numbers are expected to be, from its own past, over windows of several lengths; rows are
  judged by the rows before them in the same table, so a table begins with its past;
- `rows`: how rows of many numbers look that belong together, and, with `streams`, where the means of one machine's
  rows lie.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .streams import Streams  # noqa: TID252 - this file and that one lie beside each other in every bundle too

FORMAT = 1
ENTITY, TIME = "entity", "time_s"  # columns of a series beside its numbers: text, seconds since 1970
Array = npt.NDArray[Any]
_DAY_S = 86_400.0
_LEAST_SHARE = 0.5  # of the rows that a window should hold; below it the window says nothing
_CHUNK = 2_000  # rows whose distances to all neighbours are held at once


def numbers(table: pa.Table, names: list[str]) -> Array:
    """Columns as float64 (rows, columns), missing and infinite as NaN.

    Raises:
        KeyError: a column is missing.
    """
    lost = [name for name in names if name not in table.column_names]
    if lost:
        raise KeyError(f"columns missing for this model: {', '.join(lost[:10])}")
    out = np.empty((table.num_rows, len(names)))
    for place, name in enumerate(names):
        out[:, place] = pc.cast(table.column(name), pa.float64(), safe=False).to_numpy()
    out[~np.isfinite(out)] = np.nan
    return out


def texts(table: pa.Table, name: str) -> Array:
    """A column as text (rows,), missing as empty."""
    return np.asarray(pc.fill_null(pc.cast(table.column(name), pa.string()), "").to_pylist(), dtype=object)


def standard(x: Array, centre: Array, scale: Array) -> Array:
    """Numbers to robust standard ones; what is missing stands at the centre."""
    return np.nan_to_num((x - centre) / scale, nan=0.0)


class Past:
    """One entity's number in the order of time, for means over any stretch before each of its rows.

    Args:
        time_s: seconds, rising (rows,).
        values: the number (rows,), missing as NaN.
        step_s: seconds from one row to the next, by which is told whether a stretch is full.
    """

    def __init__(self, time_s: Array, values: Array, step_s: float) -> None:
        self.time_s = time_s
        self.step_s = step_s
        known = np.isfinite(values)
        # Sums of large numbers lose small differences: they are counted from the first one, which knows no later one.
        self._centre = float(values[known][0]) if known.any() else 0.0
        self._sum = np.concatenate([[0.0], np.cumsum(np.where(known, values - self._centre, 0.0))])
        self._count = np.concatenate([[0], np.cumsum(known)])

    def mean(self, oldest_s: float, newest_s: float) -> Array:
        """Mean of the rows in (t - oldest, t - newest] for every row's moment t; NaN where too few are there."""
        end = np.searchsorted(self.time_s, self.time_s - newest_s, side="right")
        begin = np.searchsorted(self.time_s, self.time_s - oldest_s, side="right")
        count = self._count[end] - self._count[begin]
        least = max(1.0, _LEAST_SHARE * (oldest_s - newest_s) / self.step_s)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (self._sum[end] - self._sum[begin]) / count + self._centre
        return np.where(count >= least, mean, np.nan)

    def window(self, length_s: float) -> tuple[Array, Array]:
        """What is judged of a window that ends at each row, and what was known before the window began.

        Args:
            length_s: seconds; 0: the row itself.

        Returns:
            The mean over the window (rows,), and the predictors of its forecast (rows, 8): means over the window
            before, over the rows right before, over the four windows before, and over the same hours of the day before
            (of windows shorter than a day), and the hour of the day as two harmonics.
        """
        length = length_s or self.step_s
        rows = (length + self.step_s, length) if length_s else (3 * length, 2 * length)
        before = self.mean(2 * length, length)
        is_short = length < _DAY_S
        day_before = self.mean(_DAY_S + length, _DAY_S) if is_short else before
        angle = 2 * np.pi * (self.time_s % _DAY_S) / _DAY_S
        harmonics = [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]
        predictors = [before, self.mean(*rows), self.mean(5 * length, length), day_before, *harmonics]
        out = np.column_stack(predictors)
        return self.mean(length, 0.0), np.where(np.isnan(out), before[:, None], out)


def expected(predictors: Array, fit: dict[str, Any]) -> Array:
    """Forecast of a window's mean (rows,).

    Args:
        predictors: as `Past.window` gives them.
        fit: `centre` and `scale` of the predictors, `low` and `high` that they are held between (a machine that was off
            yesterday is no reason to expect nonsense today), `coefficients`, `intercept`.
    """
    held = np.clip(predictors, np.asarray(fit["low"]), np.asarray(fit["high"]))
    design = (held - np.asarray(fit["centre"])) / np.asarray(fit["scale"])
    return np.asarray(design @ np.asarray(fit["coefficients"]) + fit["intercept"])


def by_entity(table: pa.Table) -> list[tuple[str, Array]]:
    """Name of each entity of a series and its rows in the order of time."""
    names, code = np.unique(texts(table, ENTITY).astype(str), return_inverse=True)
    order = np.lexsort((numbers(table, [TIME])[:, 0], code))
    counts = np.bincount(code, minlength=len(names))
    ends = np.cumsum(counts)
    return [(str(name), order[end - count : end]) for name, count, end in zip(names, counts, ends, strict=True)]


def joint_distance(z: Array, precision: Array) -> Array:
    """Mahalanobis distance of standard numbers (rows, variables) from their centre (rows,)."""
    return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", z, precision, z), 0.0)))


def nearest(z: Array, reference: Array, count: int) -> tuple[Array, Array]:
    """Mean distance to the `count` nearest reference rows (rows,), and the middle of those (rows, variables)."""
    distance, middle = np.empty(len(z)), np.empty_like(z)
    squares = np.sum(reference**2, axis=1)
    for begin in range(0, len(z), _CHUNK):
        some = z[begin : begin + _CHUNK]
        away = np.maximum(np.sum(some**2, axis=1)[:, None] + squares - 2.0 * some @ reference.T, 0.0)
        places = np.argpartition(away, count - 1, axis=1)[:, :count]
        distance[begin : begin + _CHUNK] = np.sqrt(np.take_along_axis(away, places, axis=1)).mean(axis=1)
        middle[begin : begin + _CHUNK] = reference[places].mean(axis=1)
    return distance, middle


def row_parts(z: Array, method: str, state: dict[str, Any]) -> tuple[Array, Array]:
    """Statistic (rows,) and how far each variable stands off (rows, variables).

    `largest`: the largest standard number. `joint`: Mahalanobis; a variable's own part is its residual given all
    others, in its standard deviations. `neighbours`: distance to the nearest reference rows.
    """
    if method == "largest":
        off = np.abs(z)
        return off.max(axis=1), off
    if method == "joint":
        precision = np.asarray(state["precision"])
        return joint_distance(z, precision), np.abs(z @ precision) / np.sqrt(np.diag(precision))
    distance, middle = nearest(z, np.asarray(state["reference"]), int(state["count"]))
    return distance, np.abs(z - middle)


class Scorer:
    """A loaded bundle.

    Args:
        bundle: content of `bundle.json`.
    """

    def __init__(self, bundle: dict[str, Any]) -> None:
        if bundle["format"] != FORMAT:
            raise ValueError(f"model format {bundle['format']}, this runtime reads {FORMAT}")
        self.bundle = bundle

    @classmethod
    def load(cls, folder: Path, n_threads: int = 1) -> Scorer:  # noqa: ARG003 - same call for all families
        """Read a bundle's folder."""
        return cls(json.loads((folder / "bundle.json").read_text(encoding="utf-8")))

    def parts(self, table: pa.Table) -> Array:
        """How far each watched part of each row stands off, over its limit: (rows, parts), unknown as NaN."""
        if self.bundle["kind"] == "series":
            return self._series_parts(table)
        z = self._standard(table)
        alone = row_parts(z, self.bundle["method"], self.bundle["state"])[1] / self.bundle["limit"]
        return np.hstack([alone, self._stream_parts(table, z)])

    def predict(self, table: pa.Table) -> dict[str, Array]:
        """A table with the contract's columns to `value`: the score over its limit, NaN where nothing can be said."""
        if self.bundle["kind"] == "rows":
            together = self._stream_parts(table, self._standard(table))
            return {"value": np.max(np.column_stack([self.alone(table), np.nan_to_num(together, nan=0.0)]), axis=1)}
        parts = self._series_parts(table)
        known = np.isfinite(parts).any(axis=1)
        value = np.full(len(parts), np.nan)
        value[known] = np.nanmax(parts[known], axis=1)
        return {"value": value}

    def alone(self, table: pa.Table) -> Array:
        """Score over its limit of each row of a `rows` bundle by itself (rows,), whatever its machine's others say."""
        statistic, _ = row_parts(self._standard(table), self.bundle["method"], self.bundle["state"])
        return np.asarray(statistic / self.bundle["limit"])

    def reasons(self, table: pa.Table, top_k: int) -> list[str]:
        """The `top_k` variables that stand off most in each row, as JSON: feature, value, expected, contribution.

        A variable counts once, over the window in which it stands off most; `contribution` is over the limit, from 1
        on the variable alone would have raised the alarm.
        """
        parts = np.nan_to_num(self.parts(table), nan=-1.0)
        named = self.bundle["parts"]
        values, wanted = self._shown(table)
        variables = list(dict.fromkeys(part["variable"] for part in named))
        groups = [[place for place, part in enumerate(named) if part["variable"] == each] for each in variables]
        best = np.stack([np.asarray(group)[parts[:, group].argmax(axis=1)] for group in groups], axis=1)
        strength = np.take_along_axis(parts, best, axis=1)
        order = np.argsort(-strength, axis=1)[:, :top_k]
        out = []
        for row, chosen in enumerate(np.take_along_axis(best, order, axis=1)):
            told = [
                {
                    "feature": named[place]["name"],
                    "value": _short(values[row, place]),
                    "expected": _short(wanted[row, place]),
                    "contribution": _short(parts[row, place]),
                }
                for place in chosen
                if parts[row, place] >= 0
            ]
            out.append(json.dumps(told))
        return out

    def _standard(self, table: pa.Table) -> Array:
        bundle = self.bundle
        x = numbers(table, [part["variable"] for part in bundle["parts"][: len(bundle["centre"])]])
        return standard(x, np.asarray(bundle["centre"]), np.asarray(bundle["scale"]))

    def _stream_parts(self, table: pa.Table, z: Array) -> Array:
        """How far the windows of each row's machine stand off, over the limit (rows, parts); no column without."""
        streams = self._streams(table, z)
        return streams.parts() / self.bundle["limit"] if streams else np.empty((len(z), 0))

    def _streams(self, table: pa.Table, z: Array) -> Streams | None:
        content = self.bundle.get("streams")
        if content is None:
            return None
        return Streams(content, z, numbers(table, [TIME])[:, 0], texts(table, ENTITY).astype(str))

    def _series(self, table: pa.Table) -> tuple[Array, Array, Array]:
        """What each part of each row is, was expected to be, and may be off: (rows, parts) each, unknown as NaN."""
        named = self.bundle["parts"]
        columns = list(dict.fromkeys(part["variable"] for part in named))
        time_s, values = numbers(table, [TIME])[:, 0], numbers(table, columns)
        now, wanted, allowed = (np.full((table.num_rows, len(named)), np.nan) for _ in range(3))
        for entity, rows in by_entity(table):
            fits = self.bundle["entities"].get(entity, [])
            pasts = {name: Past(time_s[rows], values[rows, k], self.bundle["step_s"]) for k, name in enumerate(columns)}
            for place, fit in enumerate(fits):
                if fit is None:
                    continue
                now[rows, place], predictors = pasts[named[place]["variable"]].window(named[place]["length_s"])
                wanted[rows, place] = expected(predictors, fit)
                allowed[rows, place] = fit["limit"] * self.bundle["limit"]
        return now, wanted, allowed

    def _series_parts(self, table: pa.Table) -> Array:
        now, wanted, allowed = self._series(table)
        return np.asarray(np.abs(now - wanted) / allowed)

    def _shown(self, table: pa.Table) -> tuple[Array, Array]:
        """What each part is and what it was expected to be: (rows, parts) each."""
        if self.bundle["kind"] == "series":
            now, wanted, _ = self._series(table)
            return now, wanted
        centre, scale = np.asarray(self.bundle["centre"]), np.asarray(self.bundle["scale"])
        z = self._standard(table)
        values = numbers(table, [part["variable"] for part in self.bundle["parts"][: len(centre)]])
        wanted, streams = np.broadcast_to(centre, values.shape), self._streams(table, z)
        if streams is None:
            return values, wanted
        windows = [centre + scale * each.reshape(len(z), -1, len(centre)) for each in streams.shown()]
        now, usual = (each.reshape(len(z), -1) for each in windows)
        return np.hstack([values, now]), np.hstack([wanted, usual])


def _short(value: float) -> float | None:
    """Four or so digits for people; None for what is missing."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
