"""The loop over points, compiled by numba. Imported where a chart is run and nowhere else: numba takes seconds.

The points of a run are remembered as bits, newest lowest, so that a rule over several points is a comparison of bits
and no loop. A side's history holds who was beyond 0 (9 points), 1 (8) and 2 sigma (3); the shape's who rose (5), fell
(5), turned (12) and lay within 1 sigma (15). All integers are signed: numba adds unsigned to signed ones as floats.

numba's cache on disk looks at the age of this file alone, so nothing is imported here that could change without it
but the bits of `rules`, which never do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from pipelines.charts.constants import Array
from pipelines.charts.rules import CUSUM, EWMA, mask_of

_F = TypeVar("_F", bound=Callable[..., Any])

# Places of a series' parameters, as `pipelines.charts.kernel` puts them.
CENTRE, SIGMA, LIMIT, WEIGHT, WIDTH, STARTING, SLACK, DECISION = range(8)

_SIDE_OLD = (0x1FE << 0) | (0xFE << 9) | (0x6 << 17)
_SHAPE_OLD = (0x1E << 0) | (0x1E << 5) | (0xFFE << 10) | (0x7FFE << 22)
_THREE_OF_FOUR = 0xE880  # bit p is set where the number p has at least three of its four bits

_LIMIT_BIT = mask_of(["beyond_limit"])
_TWO_BIT = mask_of(["two_of_three"])
_FOUR_BIT = mask_of(["four_of_five"])
_EIGHT_BIT = mask_of(["eight_on_a_side"])
_NINE_BIT = mask_of(["nine_on_a_side"])
_TREND_BIT = mask_of(["six_rising_or_falling"])
_ALTERNATING_BIT = mask_of(["fourteen_alternating"])
_WITHIN_BIT = mask_of(["fifteen_within_1_sigma"])
_MIXTURE_BIT = mask_of(["eight_beyond_1_sigma"])
_EWMA_LOW_BIT = mask_of(["ewma_low"])
_EWMA_HIGH_BIT = EWMA - _EWMA_LOW_BIT
_CUSUM_LOW_BIT = mask_of(["cusum_low"])
_CUSUM_HIGH_BIT = CUSUM - _CUSUM_LOW_BIT


def _compiled(function: _F) -> _F:
    """Compile at the first call, keep the result on disk, and let other threads run meanwhile."""
    return cast("_F", numba.njit(cache=True, nogil=True)(function))


@_compiled
def _side(history: int, z: float) -> int:
    """A side's history with one point more; the other side's takes -z."""
    return ((history << 1) & _SIDE_OLD) | int(z > 0.0) | (int(z > 1.0) << 9) | (int(z > 2.0) << 17)


@_compiled
def _side_signals(history: int) -> int:
    """Rules of points on the same side."""
    one, two = history >> 9, history >> 17
    is_two = two & ((two >> 1) | (two >> 2)) & 1
    is_four = one & (_THREE_OF_FOUR >> ((one >> 1) & 0xF)) & 1
    is_eight = int((history & 0xFF) == 0xFF)
    is_nine = int((history & 0x1FF) == 0x1FF)
    return is_two * _TWO_BIT | is_four * _FOUR_BIT | is_eight * _EIGHT_BIT | is_nine * _NINE_BIT


@_compiled
def _shape(shape: int, z: float, step: float) -> int:
    """The shape's history with one point more; a step that is no number neither rises nor falls."""
    rises, falls = int(step > 0.0), int(step < 0.0)
    turns = (rises & (shape >> 5)) | (falls & shape)
    return ((shape << 1) & _SHAPE_OLD) | rises | (falls << 5) | (turns << 10) | (int(abs(z) <= 1.0) << 22)


@_compiled
def _shape_signals(shape: int) -> int:
    """Rules of trends, alternation and too little spread."""
    is_trend = int((shape & 0x1F) == 0x1F) | int(((shape >> 5) & 0x1F) == 0x1F)
    is_alternating = int(((shape >> 10) & 0xFFF) == 0xFFF)
    is_within = int(((shape >> 22) & 0x7FFF) == 0x7FFF)
    return is_trend * _TREND_BIT | is_alternating * _ALTERNATING_BIT | is_within * _WITHIN_BIT


@_compiled
def _mixture_signal(above: int, below: int) -> int:
    """Eight points beyond 1 sigma, some on either side."""
    up, down = (above >> 9) & 0xFF, (below >> 9) & 0xFF
    return int((up | down) == 0xFF and up != 0 and down != 0) * _MIXTURE_BIT


@_compiled
def _cusum(total: float, z: float, slack: float, decision: float) -> tuple[float, int]:
    """One side's sum after a point, and whether it signals; after a signal it begins anew, for it does not forget."""
    total = total + z - slack
    if total > decision:
        return 0.0, 1
    return (total if total > 0.0 else 0.0), 0


@_compiled
def _fresh(starting: float) -> tuple[int, int, int, float, float, float, float, float]:
    """What is remembered at the beginning of a run: histories, last point, EWMA and its missing share, both sums."""
    return 0, 0, 0, np.nan, 0.0, starting, 0.0, 0.0


@_compiled
def _chart_one(values: Array, begins: Array, parameters: Array, mask: int, out: Array) -> None:
    """Write the signals of one series into `out`."""
    centre, per_sigma, limit = parameters[CENTRE], 1.0 / parameters[SIGMA], parameters[LIMIT]
    weight, slack, decision = parameters[WEIGHT], parameters[SLACK], parameters[DECISION]
    # Squares of the EWMA and of its limit are compared: a root per point would cost as much as all rules.
    square_limit = parameters[WIDTH] ** 2 * weight / (2.0 - weight)
    forgetting = (1.0 - weight) ** 2
    above, below, shape, last, ewma, missing, high, low = _fresh(parameters[STARTING])
    for point in range(values.size):
        if begins.size > 0 and begins[point]:
            above, below, shape, last, ewma, missing, high, low = _fresh(parameters[STARTING])
        z = (np.float64(values[point]) - centre) * per_sigma
        if not np.isfinite(z):
            out[point] = 0
            continue
        above, below, shape = _side(above, z), _side(below, -z), _shape(shape, z, z - last)
        last = z
        ewma += weight * (z - ewma)
        missing *= forgetting
        is_off = int(ewma * ewma > square_limit * (1.0 - missing))
        high, is_high = _cusum(high, z, slack, decision)
        low, is_low = _cusum(low, -z, slack, decision)
        bits = int(abs(z) > limit) * _LIMIT_BIT | _side_signals(above) | _side_signals(below) | _shape_signals(shape)
        bits |= _mixture_signal(above, below) | is_high * _CUSUM_HIGH_BIT | is_low * _CUSUM_LOW_BIT
        bits |= is_off * (_EWMA_HIGH_BIT if ewma > 0.0 else _EWMA_LOW_BIT)
        out[point] = bits & mask


@_compiled
def chart(values: Array, begins: Array, starts: Array, parameters: Array, masks: Array, out: Array) -> None:
    """Write the signals of each series into `out`, which begins at the first value of the first series.

    Args:
        values: of all series (points,), float32 or float64.
        begins: whether a run begins at each value (points,), or empty.
        starts: place in `values` of each series' first value, and the end of the last (series + 1,), int64.
        parameters: of each series (series, 8), float64.
        masks: rules that are on for each series (series,), int64.
        out: signals (at least the points of these series,), uint16.
    """
    first = starts[0]
    for series in range(starts.size - 1):
        begin, end = starts[series], starts[series + 1]
        own = begins[begin:end] if begins.size > 0 else begins
        _chart_one(values[begin:end], own, parameters[series], masks[series], out[begin - first : end - first])
