"""Answers that move a set-point: which, from where, to where, and what no plan allows."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from models.context import ModelContext
from models.scoring.moves import moves_of
from models.scoring.table import answer_table
from models.spec import MoveTo, PredictiveSpec
from orchestration.catalogue import find
from orchestration.environment import default_site
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site
from pipelines.lake.home import Home

NOW = datetime(2026, 9, 1)  # noqa: DTZ001 - UTC as everywhere in the lake


@pytest.fixture(scope="module")
def spec() -> PredictiveSpec:
    found = find("electrode/mixing_end_point")
    assert isinstance(found, PredictiveSpec)
    return found


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> ModelContext:
    return ModelContext(Home(Path(tmp_path_factory.mktemp("home"))), load_site(default_site()))


def moved(spec: PredictiveSpec, ctx: ModelContext, move: MoveTo) -> pa.Table:
    keys = {
        "slurry_batch_id": pa.chunked_array([["CB1", "CB2", "CB3", "CB4"]]),
        "minute_no": pa.chunked_array([pa.array([160, 180, 200, 300], pa.int32())]),
    }
    answers = {
        "value": [0.99, 0.5, 0.97, 1.0], "probability": [0.99, 0.5, 0.97, 1.0],
        "class": ["true", "false", "true", "true"], "is_flagged": [True, False, True, True],
        "reasons": pa.nulls(4, pa.string()),
    }  # fmt: skip
    rows = answer_table(keys, np.full(4, np.datetime64(NOW, "us")), answers, NOW, (3, 7))
    return moves_of(spec, move, ctx, rows, np.array([160, 180, 200, 300]) / 60)


def test_what_acts_is_set_to_its_time_within_the_plan(spec: PredictiveSpec, ctx: ModelContext) -> None:
    assert spec.action.move is not None
    found = moved(spec, ctx, spec.action.move).to_pydict()
    assert found["slurry_batch_id"] == ["CB1", "CB3", "CB4"]
    assert found["proposed_value"] == pytest.approx([3.0, 200 / 60, 5.0])
    assert found["current_value"] == [4.0] * 3
    assert found["priority"] == pytest.approx([0.99, 0.97, 1.0])
    assert set(found["characteristic_code"]) == {"cathode_mixing_time_h"}
    assert set(found["model_version"]) == {3}


@pytest.mark.parametrize("code", ["cathode_mixing_energy_kwh", "no_such"])
def test_what_the_plan_lets_nobody_move_is_refused(spec: PredictiveSpec, ctx: ModelContext, code: str) -> None:
    with pytest.raises(CellworksError, match="no set-point that may be moved"):
        moved(spec, ctx, MoveTo(code=code, to="elapsed_h"))


@pytest.mark.parametrize(
    "action",
    [{"kind": "setpoint_advice"}, {"kind": "alarm", "move": {"code": "cathode_mixing_time_h", "to": "elapsed_h"}}],
)
def test_advice_of_a_setpoint_names_what_it_moves_and_nothing_else_does(
    spec: PredictiveSpec, action: dict[str, object]
) -> None:
    with pytest.raises(ValidationError, match="go together"):
        PredictiveSpec.model_validate(spec.model_dump() | {"action": action})
