"""How large the faults of a table are, and how often each size is put in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def drawn(
    jumps: Sequence[float], drifts: Sequence[float], times: int, draw: np.random.Generator
) -> Iterator[tuple[float, float]]:
    """Each size so many times, up or down.

    Args:
        jumps: standard deviations at once.
        drifts: standard deviations a day.
        times: how often each.
        draw: of the signs.

    Yields:
        Shift and ramp.
    """
    for shift, ramp in (*((jump, 0.0) for jump in jumps), *((0.0, drift) for drift in drifts)):
        for _ in range(times):
            sign = float(draw.choice([-1.0, 1.0]))
            yield sign * shift, sign * ramp
