"""Phase I of a whole line at once: how each point is to be charted, learnt from the first days.

A tag read by the minute follows itself, and a chart of it alarms many times as often as its limits promise. Each point
is averaged to the smallest batch whose means are nearly independent; one that still remembers is charted as what an
autoregression of its batch means leaves over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.charts.autocorrelation import Memory, fit_memory, residuals
from pipelines.charts.constants import Array

SIZES_MIN = (1, 5, 15, 60)
"""Batches, in minutes; each holds a whole number of the one before, the first is the minute itself."""
BOUND = 0.1
"""Largest lag-1 autocorrelation of means that are charted as they are."""
MIN_MEANS = 150
"""Means that a reference must give; fewer tell neither memory nor spread."""
_MIN_BATCHES = 200  # of a reference, some of them empty; a longer batch is for a longer reference
_LEAST_PRESENT = 0.5
_MAX_ORDER = 5
_MAD_TO_SIGMA = 1.4826  # of a normal distribution; what a few bad hours of the reference do not move


@dataclass(frozen=True)
class Track:
    """Points that are charted alike.

    Attributes:
        place: of each among all points.
        size_min: minutes of a batch.
        values: what is charted (points, batches), float32: means, or what memory did not foresee of them.
        centre: of each point. sigma: of each point, above 0.
        remembers: whether values are what memory left over.
    """

    place: Array
    size_min: int
    values: Array
    centre: Array
    sigma: Array
    remembers: bool


@dataclass(frozen=True)
class PhaseOne:
    """How a line is charted.

    Attributes:
        tracks: points by how they are charted.
        left_out: places of points that never change or were seen too little in the reference.
    """

    tracks: list[Track]
    left_out: Array

    @property
    def batches_per_day(self) -> float:
        """Charted values a day, over all points."""
        return float(sum(len(track.place) * 1440 / track.size_min for track in self.tracks))


def learn(values: Array, reference_min: int) -> PhaseOne:
    """Learn from the first minutes how each point is charted.

    Args:
        values: (points, minutes), NaN where missing.
        reference_min: minutes of the reference, several hundred at least; the largest batch that it often holds is
            the one whose memory is learnt.
    """
    tracks: list[Track] = []
    to_do = np.arange(len(values))
    means, size_before = values, 1
    sizes = [size for size in SIZES_MIN if reference_min // size >= _MIN_BATCHES]
    for size in sizes:
        if not len(to_do):
            break
        means = _batched(means, size // size_before)
        size_before = size
        reference = means[:, : reference_min // size]
        lag = _lag_1(reference)
        is_last = size == sizes[-1]
        is_free = lag <= BOUND
        if is_free.any():
            tracks += _tracks(to_do[is_free], size, means[is_free], reference_min, remembers=False)
        if is_last and (~is_free).any():
            rest = np.flatnonzero(~is_free)
            left = [_unforeseen(means[row].astype(np.float64), reference_min // size) for row in rest]
            tracks += _tracks(to_do[rest], size, np.asarray(left, dtype=np.float32), reference_min, remembers=True)
        to_do, means = to_do[~is_free], means[~is_free]
    charted = np.concatenate([track.place for track in tracks]) if tracks else np.zeros(0, dtype=np.int64)
    return PhaseOne(tracks, np.setdiff1d(np.arange(len(values)), charted))


def _batched(values: Array, size: int) -> Array:
    """Means of `size` values each, NaN where less than half of them are there; float32."""
    if size == 1:
        return values
    whole = values[:, : values.shape[1] // size * size].reshape(len(values), -1, size)
    there = np.isfinite(whole)
    count = there.sum(axis=2)
    total = np.where(there, whole, 0.0).sum(axis=2, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= _LEAST_PRESENT * size, total / count, np.nan).astype(np.float32)


def _lag_1(values: Array) -> Array:
    """Autocorrelation of neighbours of each row; infinite where too little is there to tell or nothing varies."""
    with np.errstate(invalid="ignore", divide="ignore"):
        there = np.isfinite(values)
        count = there.sum(axis=1)
        mean = np.where(there, values, 0.0).sum(axis=1, dtype=np.float64) / count
        deviation = np.where(there, values - mean[:, None].astype(np.float32), 0.0)
        zero = np.einsum("ij,ij->i", deviation, deviation)
        one = np.einsum("ij,ij->i", deviation[:, :-1], deviation[:, 1:])
        lag = one / zero
    return np.where((count >= MIN_MEANS) & (zero > 0), lag, np.inf)


def _unforeseen(means: Array, reference: int) -> Array:
    """What memory, learnt from the reference, did not foresee; all NaN where there is nothing to learn it from."""
    known = means[:reference]
    if np.isfinite(known).sum() < MIN_MEANS or not np.nanstd(known) > 0:
        return np.full(len(means), np.nan)
    memory: Memory = fit_memory(known, _MAX_ORDER)
    return residuals(means, memory)


def _tracks(place: Array, size: int, values: Array, reference_min: int, *, remembers: bool) -> list[Track]:
    """One track of those points whose reference tells a spread, or none."""
    reference = values[:, : reference_min // size]
    seen = np.isfinite(reference).sum(axis=1) >= MIN_MEANS
    reference = np.where(seen[:, None], reference, 0.0)
    centre = np.nanmedian(reference, axis=1)
    sigma = _MAD_TO_SIGMA * np.nanmedian(np.abs(reference - centre[:, None]), axis=1)
    kept = seen & (sigma > 0)
    if not kept.any():
        return []
    return [Track(place[kept], size, np.ascontiguousarray(values[kept]), centre[kept], sigma[kept], remembers)]
