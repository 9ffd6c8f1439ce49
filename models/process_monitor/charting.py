"""Phase I of the charts: centre, sigma from row to row, and how much a variable follows itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.process_monitor.blocks import Rows
from models.process_monitor.runtime import Array
from models.process_monitor.spec import Charts
from pipelines.charts.constants import constants

_FOLLOWS = 0.1  # a weaker share costs a chart next to nothing
_CHANCE = 3.0  # standard errors of a share that is none: 1 / sqrt(rows) each


def learn_charts(rows: Rows, asked: Charts) -> dict[str, Any]:
    """What the charts of reference rows stand on, as `runtime.Charts` reads it.

    Sigma is that from row to row (the mean moving range over d2): a reference that drifted or stepped does not widen
    its own limits by that, as its standard deviation would.

    Args:
        rows: the reference.
        asked: the charts.

    Source: Montgomery, Introduction to Statistical Quality Control, 6.4 and 10.4 (residuals of what follows itself).
    """
    centre = np.nanmean(rows.x, axis=0)
    carry = _carry(rows, centre, asked)
    centred = rows.x - centre
    residual = centred - carry * np.roll(centred, 1, axis=0)
    sigma = _from_row_to_row(residual, rows.before)
    return {
        "centre": centre,
        "sigma": sigma,
        "carry": carry,
        "kinds": list(asked.kinds),
        "subgroup": asked.subgroup,
        "weight": asked.weight,
        "slack": asked.shift / 2,
        "rules": list(asked.rules),
    }


def _from_row_to_row(residual: Array, before: Array) -> Array:
    """Mean moving range over d2; where too little moves for that the standard deviation, or 1."""
    # The first row of a run has no residual, so that the second one has no range either.
    ranges = np.abs(residual - np.roll(residual, 1, axis=0))[before >= 2]
    there = np.maximum((~np.isnan(ranges)).sum(axis=0), 1)
    sigma = np.nansum(ranges, axis=0) / there / constants(2).d2
    spread = np.nanstd(residual, axis=0)
    return np.where(sigma > 0, sigma, np.where(spread > 0, spread, 1.0))


def _carry(rows: Rows, centre: Array, asked: Charts) -> Array:
    """Share of a row's deviation that the next row repeats, per variable; 0 where it is charted as it is."""
    if asked.residuals == "never":
        return np.zeros(rows.x.shape[1])
    now, last = (rows.x - centre)[1:], (rows.x - centre)[:-1]
    there = ~np.isnan(now) & ~np.isnan(last) & (rows.before[1:] >= 1)[:, None]
    products, squares = np.where(there, now * last, 0.0).sum(axis=0), np.where(there, last**2, 0.0).sum(axis=0)
    share = np.clip(products / np.maximum(squares, 1e-300), -0.99, 0.99)
    if asked.residuals == "always":
        return np.asarray(share)
    least = np.maximum(_FOLLOWS, _CHANCE / np.sqrt(np.maximum(there.sum(axis=0), 1)))
    return np.where(np.abs(share) > least, share, 0.0)
