"""Waste put into the home's meters: a meter that uses more than it did, at once or more each day.

The rest of the row stays as it was: the same cells were made in the same weather.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestration.evaluation.faults import DRIFTS, HORIZON_DAYS, JUMPS, Fault

Array = npt.NDArray[Any]
TABLE, METER, ENERGY = "marts.energy_hour", "meter_id", "energy_kwh"
_DRAWS = 4  # meters that each size is put into
_DAY = np.timedelta64(1, "D")


def put_in(
    keys: Mapping[str, Array], at: Array, energy_kwh: Array, since: np.datetime64, seed: int
) -> Iterator[tuple[Fault, dict[str, Array]]]:
    """Each waste with what it adds to every row, within the horizon; nothing where too few days follow.

    Args:
        keys: the rows' key columns, the meter among them.
        at: hour of each row (UTC).
        energy_kwh: energy of each row.
        since: what was learnt from ends here.
        seed: of the draw of meters and days.
    """
    meters, place = np.unique(keys[METER].astype(str), return_inverse=True)
    spread = np.array([np.std(energy_kwh[place == number]) for number in range(len(meters))])
    days = int((at.max() - since) / _DAY) - HORIZON_DAYS
    draw = np.random.default_rng(seed)
    for shift, ramp in (*((jump, 0.0) for jump in JUMPS), *((0.0, drift) for drift in DRIFTS)):
        for _ in range(_DRAWS if days >= 0 else 0):
            meter, day = int(draw.integers(len(meters))), int(draw.integers(days + 1))
            begin = since + day * _DAY
            gone = (at - begin) / _DAY
            acts = (place == meter) & (gone > 0) & (gone < HORIZON_DAYS)
            added = np.where(acts, spread[meter] * (shift + ramp * np.floor(gone)), 0.0)
            yield Fault(ENERGY, str(meters[meter]), day, shift, ramp), {ENERGY: added}
