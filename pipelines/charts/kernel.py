"""Phase II: the signals of many series in one pass, by a compiled loop."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from pipelines.charts.constants import LIMIT_SIGMAS, Array
from pipelines.charts.rules import DEFAULT
from pipelines.control_plan.errors import CellworksError

_CHUNK_POINTS = 1 << 18  # the scratch of one chunk, half a megabyte, stays in a core's cache
_NO_RUNS = np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True)
class Charts:
    """How each series is charted: numbers for all series, or arrays with one for each.

    Attributes:
        centre: of the values.
        sigma: standard deviation of a value, above 0.
        rules: bits of the rules that are on (`pipelines.charts.rules`).
        limit_sigmas: control limit of single points.
        ewma_weight: lambda, in (0, 1].
        ewma_sigmas: L, limit in standard deviations of the EWMA.
        is_ewma_exact: whether the limit is narrower at the beginning of a run, as the EWMA's own deviation is; else it
            is the asymptotic one from the first point on.
        cusum_slack: k, half of the shift sought, in sigmas.
        cusum_decision: h, in sigmas.
    """

    centre: float | Array
    sigma: float | Array
    rules: int | Array = DEFAULT
    limit_sigmas: float | Array = LIMIT_SIGMAS
    ewma_weight: float | Array = 0.1
    ewma_sigmas: float | Array = 2.814
    is_ewma_exact: bool | Array = True
    cusum_slack: float | Array = 0.5
    cusum_decision: float | Array = 5.0

    def parameters(self, series: int) -> tuple[Array, Array]:
        """What the compiled loop takes: parameters (series, 8) and masks (series,).

        Raises:
            CellworksError: a number that no chart can be drawn with; names the first series.
        """
        own = {field.name: np.broadcast_to(getattr(self, field.name), series) for field in fields(self)}
        masks = own.pop("rules").astype(np.int64)
        table = np.column_stack([column.astype(np.float64) for column in own.values()]) if series else np.zeros((0, 8))
        sound = np.isfinite(table).all(axis=1) & (own["sigma"] > 0)
        sound &= (own["ewma_weight"] > 0) & (own["ewma_weight"] <= 1)
        if not sound.all():
            place = int(np.argmin(sound))
            raise CellworksError(
                "a series cannot be charted",
                expected="a finite centre, a sigma above 0, finite limits, 0 < ewma_weight <= 1",
                found=", ".join(f"{name} {column[place]}" for name, column in own.items()),
                mend="leave out a series that never changes; learn the others' centre and sigma from their own phase I",
                where=f"series {place}",
            )
        return np.ascontiguousarray(table), masks


@dataclass(frozen=True)
class Signals:
    """Points that signal.

    Attributes:
        point: place in the values, rising, int64.
        bits: what they signal, never 0, uint16.
    """

    point: Array
    bits: Array


def signals(values: Array, starts: Array, charts: Charts, begins: Array | None = None, n_threads: int = 1) -> Signals:
    """Points of many series that signal.

    A value that is missing or infinite is passed over: it does not signal, and the runs, the EWMA and the sums go on
    after it as if it had not been there. An EWMA outside its limits signals at each point until it is back; a sum
    begins anew after it has signalled.

    Args:
        values: series after series, each in its order of time (points,), float32 or float64, contiguous.
        starts: place of each series' first value, and the end of the last (series + 1,).
        charts: how they are charted.
        begins: values at which all memory begins anew (points,), booleans: after a stop, a change of recipe, a
            calibration. A series begins anew by itself.
        n_threads: threads; series are not cut, so one series is the work of one.

    Returns:
        The points that signal. Beside it and the values, a chunk of whole series at a time is held, 2 bytes a point.

    Raises:
        ValueError: arrays of another kind or length.
        CellworksError: a series that cannot be charted.
    """
    from pipelines.charts.compiled import chart

    begins = _NO_RUNS if begins is None else begins
    _check(values, starts, begins)
    values, begins = _frozen(values), _frozen(begins)
    parameters, masks = charts.parameters(len(starts) - 1)
    starts = np.ascontiguousarray(starts, dtype=np.int64)

    def run(part: tuple[int, int]) -> Signals:
        first, last = part
        out = np.empty(starts[last] - starts[first], dtype=np.uint16)
        chart(values, begins, starts[first : last + 1], parameters[first:last], masks[first:last], out)
        point = np.flatnonzero(out)
        return Signals(point + starts[first], out[point])

    with ThreadPoolExecutor(n_threads) as pool:
        found = list(pool.map(run, _chunks(starts)))
    blank = Signals(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint16))
    return Signals(*(np.concatenate([getattr(part, name) for part in [blank, *found]]) for name in ("point", "bits")))


def _chunks(starts: Array) -> Iterator[tuple[int, int]]:
    """First series and the one after the last of each chunk."""
    if len(starts) < 2:
        return
    wanted = np.arange(starts[0], starts[-1] + _CHUNK_POINTS, _CHUNK_POINTS)
    edges = np.unique(np.append(np.searchsorted(starts[:-1], wanted), [0, len(starts) - 1]))
    yield from pairwise(edges.tolist())


def _frozen(values: Array) -> Array:
    """The same values, not to be written: arrays that are and that are not would be compiled for twice."""
    view = values.view()
    view.flags.writeable = False
    return view


def _check(values: Array, starts: Array, begins: Array) -> None:
    """Refuse what the compiled loop would misread.

    Raises:
        ValueError: see `signals`.
    """
    if values.ndim != 1 or values.dtype not in (np.float32, np.float64) or not values.flags.c_contiguous:
        raise ValueError("values are one contiguous row of float32 or float64")
    if begins.size and (begins.dtype != np.bool_ or begins.shape != values.shape):
        raise ValueError("begins are booleans, one for each value")
    if len(starts) < 1 or starts[0] < 0 or starts[-1] > len(values) or (np.diff(starts) < 0).any():
        raise ValueError("starts rise from 0 or more to at most the number of values")
