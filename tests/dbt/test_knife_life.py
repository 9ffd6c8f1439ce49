"""A knife's life in km, against the same told roll by roll."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.lake.connection import reader
from pipelines.lake.home import Home

LIMIT_UM = 4.5 + (8.0 - 4.5) / 1.67 / 3  # the plan's nominal and limit, 3 sigma of a mean of nine; Cpk 1.67 is asked


def test_a_life_ends_at_the_first_roll_whose_mean_burr_is_out_of_control(home: Home) -> None:
    with reader(home) as lake:
        rolls = lake.sql(
            "SELECT knife_id, daughter_roll_id, length_m, burr_um FROM marts.daughter_roll ORDER BY ended_at, 2"
        ).df()
        told = lake.sql("SELECT * FROM marts.knife_life").df().set_index("daughter_roll_id")
        mean = lake.sql("SELECT * FROM marts.knife_roll").df().set_index("daughter_roll_id")["mean_burr_um"]
    seen = 0
    for knife, own in rolls.groupby("knife_id", sort=False):
        km = own["length_m"].cumsum().to_numpy() / 1000
        of_nine = own["burr_um"].rolling(9).mean().to_numpy()
        assert mean[own["daughter_roll_id"]].to_numpy() == pytest.approx(of_nine, nan_ok=True)
        beyond = np.flatnonzero(of_nine > LIMIT_UM)
        has_ended, end = bool(len(beyond)), int(beyond[0]) if len(beyond) else len(own) - 1
        left = km[end] - km[: end if has_ended else end + 1]
        found = told[told["knife_id"] == knife].sort_values("slit_km")
        assert found["left_km"].to_numpy() == pytest.approx(left)
        assert set(found["is_worn_out"]) <= {has_ended}
        seen += has_ended
    assert seen > 0
