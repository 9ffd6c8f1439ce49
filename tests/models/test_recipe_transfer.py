"""From requests and trials to verdicts: what is known is told, with its window and what ends it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from models.context import ModelContext
from models.optimizer.recipe_spec import RecipeTransfer
from models.optimizer.recipe_transfer import answer
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from orchestration.catalogue import find
from orchestration.environment import default_site
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home

NOW = datetime(2026, 9, 20, 8)  # noqa: DTZ001 - the lake's times are UTC without a zone
SITE = load_site(default_site())


def request(name: str, **changes: Any) -> dict[str, Any]:
    row = {"recipe_id": name, "solids_pct": 60.0, "viscosity_mpa_s": 8000.0, "areal_weight_g_m2": 200.0}
    moments = {"requested_at": NOW - timedelta(hours=3), "known_at": NOW - timedelta(hours=2)}
    return row | {"density_g_cm3": 2.45} | moments | changes


def trials(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(count):
        solids, weight, speed, load = (rng.uniform(*ends) for ends in ((56, 64), (170, 270), (60, 85), (1300, 1900)))
        solvent = weight / 210 * (100 - solids) / solids * 1.5 * speed / 80
        viscosity = float(rng.uniform(5000, 13000))
        found.append(
            {
                "solids_pct": solids, "viscosity_mpa_s": viscosity, "areal_weight_g_m2": weight,
                "web_speed_m_min": speed, "line_load_n_mm": load, "known_at": NOW - timedelta(days=2),
                "residual_solvent_ppm": 250 * np.exp(1.6 * (solvent - 1) + 0.05 * rng.normal()),
                "exhaust_lel_pct": 12 * solvent * np.exp(0.02 * rng.normal()),
                "peel_strength_n_m": 15 * solvent**-0.5 * np.exp(0.03 * rng.normal()),
                "defect_count_m2": 0.02 * np.exp(2 * (viscosity / 8000 * speed / 80 - 1) + 0.1 * rng.normal()),
                "density_g_cm3": 3.49 * (0.88 - 0.43 * np.exp(-load / 1814)) + 0.004 * rng.normal(),
            }
        )  # fmt: skip
    return found


def told(folder: Path, requests: list[dict[str, Any]], tried: list[dict[str, Any]], **action: str) -> RuleAnswers:
    files = {name: str(folder / f"{name}.parquet") for name in ("asked", "tried")}
    pq.write_table(pa.Table.from_pylist(requests), files["asked"])
    pq.write_table(pa.Table.from_pylist(tried), files["tried"])
    spec = find("rnd/recipe_line_transfer")
    assert isinstance(spec, OptimizerSpec)
    said = spec.model_dump() | {"table": files["asked"], "domain": None, "action": action or {"kind": "hold_lot"}}
    said["optimizer"]["trial_table"] = files["tried"]
    asks = OptimizerSpec.model_validate(said)
    assert isinstance(asks.optimizer, RecipeTransfer)
    found = answer(asks, asks.optimizer, ModelContext(Home(folder), SITE, as_of=NOW, n_threads=1), NOW)
    assert found is not None
    return found


def test_a_usual_recipe_is_released_and_a_wet_heavy_one_is_held_with_its_cause(tmp_path: Path) -> None:
    asked = [
        request("easy"), request("heavy", solids_pct=52.0, areal_weight_g_m2=330.0),
        request("dense", density_g_cm3=2.8), request("later", known_at=NOW + timedelta(hours=1)),
    ]  # fmt: skip
    found = told(tmp_path, asked, trials(60))
    names = found.keys["recipe_id"].to_pylist()
    verdicts = dict(zip(names, found.answers["class"], strict=True))
    assert verdicts == {"easy": "release", "heavy": "hold", "dense": "hold"}
    assert dict(zip(names, found.answers["is_flagged"], strict=True))["heavy"]
    causes = dict(zip(names, found.further["window"]["limited_by"].to_pylist(), strict=True))
    assert causes["dense"] == "line_load_n_mm"
    assert causes["heavy"] in ("residual_solvent_ppm", "peel_strength_n_m", "pump_flow")
    fails = dict(zip(names, found.answers["probability"], strict=True))
    assert fails["dense"] > 0.99
    assert 0 <= fails["easy"] <= 0.02 + 1e-9
    place = names.index("easy")
    low, speed, high = (found.answers[name][place] for name in ("low", "value", "high"))
    row = SITE.plan.by_code["cathode_web_speed_m_min"]
    assert (row.lsl or 0) <= low <= speed <= high <= (row.usl or 0)
    left = {part["feature"]: part["value"] for part in json.loads(found.answers["reasons"][place])[1:]}
    assert min(left.values()) >= 0
    assert all(passed for passed, _ in found.checks.values())


def test_without_trials_nothing_is_decided_and_that_is_told(tmp_path: Path) -> None:
    found = told(tmp_path, [request("easy")], trials(6))
    assert found.answers["class"] == [None]
    assert found.answers["is_flagged"] == [False]
    assert not found.checks["gain_known"][0]


def test_who_acts_on_releases_flags_those(tmp_path: Path) -> None:
    found = told(tmp_path, [request("easy"), request("dense", density_g_cm3=2.8)], trials(60), kind="release")
    flagged = dict(zip(found.keys["recipe_id"].to_pylist(), found.answers["is_flagged"], strict=True))
    assert flagged == {"easy": True, "dense": False}


def test_wrong_configuration_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="hold_lot or release or report"):
        told(tmp_path, [request("easy")], trials(60), kind="alarm")
    lacking = [{name: value for name, value in row.items() if name != "peel_strength_n_m"} for row in trials(20)]
    with pytest.raises(CellworksError, match="peel_strength_n_m"):
        told(tmp_path, [request("easy")], lacking)
