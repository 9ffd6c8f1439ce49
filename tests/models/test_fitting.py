"""What a fit is bound to, and what its intervals promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from models.gates.judge import judge
from models.spec import PredictiveSpec
from models.train import train
from pipelines.control_plan.site import load_site

pytestmark = pytest.mark.slow

PLANT = Path("infra/sites/demo").resolve()
SOLUTION = Path("orchestration/defs/equipment/predictive_maintenance/defs.yaml").resolve()


def _hours():
    """Eight machines over five days; the stronger they shook of late, the likelier they fail."""
    rng = np.random.default_rng(0)
    machine, hour = np.repeat(np.arange(8), 120), np.tile(np.arange(120), 8)
    shaken = rng.normal(1.8, 0.5, len(hour))
    fails = shaken + rng.normal(0, 0.3, len(hour)) > 2.3
    return {
        "machine_id": np.char.add("M", machine.astype(str)),
        "hour_at": np.datetime64("2026-01-01", "us") + (hour * 3600 * 1_000_000).astype("timedelta64[us]"),
        "line_code": np.where(machine < 4, "L1", "L2"),
        "vibration_mm_s": shaken + rng.normal(0, 0.3, len(hour)),
        "vibration_mm_s_mean_6h": shaken,
        "vibration_mm_s_slope_6h": rng.normal(size=len(hour)),
        "motor_current_a_mean_6h": rng.normal(42, 1, len(hour)),
        "fails_within_24h": fails,
        "failure_event_id": pa.array([f"F{m}" if bad else None for m, bad in zip(machine, fails, strict=True)]),
    }


def test_predictive_maintenance_is_bound_to_the_signs_of_means_and_not_of_slopes(ctx, table_file):
    attributes = yaml.safe_load(SOLUTION.read_text(encoding="utf-8"))["attributes"] | {
        "table": table_file(_hours()),
        "target": {"column": "fails_within_24h"},
        "search": {"trials": 1, "max_rounds": 60, "libraries": ["lightgbm"]},
    }
    spec = PredictiveSpec(stage="equipment", slug="predictive_maintenance", **attributes)
    fitted = train(spec, replace(ctx, site=load_site(PLANT))).fitted
    names = [feature["name"] for feature in fitted.scorer.bundle["features"]]
    assert dict(zip(names, fitted.problem.monotone, strict=True)) == {
        "vibration_mm_s": 1,
        "vibration_mm_s_mean_6h": 1,
        "vibration_mm_s_slope_6h": 0,
        "motor_current_a_mean_6h": 0,
    }
    shaken = np.repeat(fitted.x_development[:1], 200, axis=0)
    shaken[:, names.index("vibration_mm_s_mean_6h")] = np.linspace(0, 4, 200)
    risk = fitted.scorer.raw(shaken)
    assert (np.diff(risk) >= 0).all()
    assert risk[-1] > risk[0]


def test_quantiles_hold_and_are_judged_by_the_share_that_lies_between_them(ctx, table_file, cells, solution):
    search = {"trials": 2, "max_rounds": 60, "libraries": ["lightgbm"]}
    spec = solution(table_file(cells()), "quantile", quantiles=[0.2, 0.5, 0.8], search=search)
    trained = train(spec, ctx)
    assert trained.fitted.scorer.bundle["interval"]["coverage"] == 0.6
    gate = judge(spec, ctx, trained).gate("calibration")
    assert gate.passed, gate.sentence
    assert gate.sentence.endswith("of the intervals hold, 60 % promised")
    assert gate.figures["coverage"] == pytest.approx(0.6, abs=0.1)


def test_intervals_of_a_long_table_are_those_of_models_that_learnt_from_it_all(ctx, table_file, cells, solution):
    """The search sees the newest 200 of 4,000 rows: what 90 noise columns let it err there is not the last fit's."""
    rng = np.random.default_rng(3)
    columns = cells(4000) | {f"noise_{number}_mm": rng.normal(size=4000) for number in range(90)}
    search = {"trials": 1, "libraries": ["linear"], "max_rows": 200}
    trained = train(solution(table_file(columns), "regression", search=search), ctx)
    assert 0.87 < trained.metrics["coverage"].value < 0.93
