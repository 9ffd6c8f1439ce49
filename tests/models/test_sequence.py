"""Windows over a sequence look back only, and each entity has its own past."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.context import ModelContext
from models.features.frame import load_frame
from models.spec import PredictiveSpec
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home

SEQUENCE = {"entity": ["tool_id"], "order": "cycle", "windows": [2, 4], "base_rows": 2}


@pytest.fixture
def bare_ctx(tmp_path) -> ModelContext:
    """A context that reads files and nothing else."""
    return ModelContext(Home(tmp_path), n_threads=1)


def _table(rows: list[tuple[int, float]]) -> dict[str, object]:
    """Rows of tools in the order given: which tool, and what was measured."""
    tools = [tool for tool, _ in rows]
    return {
        "row_id": [f"R{place}" for place in range(len(rows))],
        "tool_id": [f"T{tool}" for tool in tools],
        "cycle": [tools[: place + 1].count(tool) for place, tool in enumerate(tools)],
        "wear_um": [value for _, value in rows],
        "life": [float(len(rows) - place) for place in range(len(rows))],
    }


def _spec(file: str, **changes: object) -> PredictiveSpec:
    content = {
        "stage": "assembly",
        "slug": "tool_life",
        "question": "How many cycles has the tool left?",
        "table": file,
        "keys": ["row_id"],
        "features": {"exclude": ["tool_id"]},
        "target": {"column": "life"},
        "task": "regression",
        "sequence": SEQUENCE,
    }
    return PredictiveSpec(**(content | changes))


def _features(file: str, ctx) -> dict[str, dict[str, float | None]]:
    table = load_frame(_spec(file), ctx).table
    rows = table.to_pylist()
    return {row.pop("__key_row_id"): row for row in rows}


measured = st.lists(st.tuples(st.integers(0, 2), st.floats(-5, 5, width=32)), min_size=2, max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=measured, data=st.data())
def test_what_comes_later_changes_nothing(bare_ctx, table_file, rows, data):
    cut = data.draw(st.integers(1, len(rows)))
    whole = _features(table_file(_table(rows), "whole.parquet"), bare_ctx)
    early = _features(table_file(_table(rows[:cut]), "early.parquet"), bare_ctx)
    for name, features in early.items():
        assert features.keys() == whole[name].keys()
        np.testing.assert_allclose(
            np.asarray(list(features.values()), dtype=float),
            np.asarray(list(whole[name].values()), dtype=float),
            rtol=1e-4,
            atol=1e-4,
        )


def test_windows_are_means_spreads_slopes_and_the_change_since_the_beginning(bare_ctx, table_file):
    rows = [(0, 1.0), (1, 100.0), (0, 3.0), (0, 5.0), (0, 11.0)]
    last = _features(table_file(_table(rows)), bare_ctx)["R4"]
    assert last["wear_um_mean_2"] == 8.0
    assert last["wear_um_mean_4"] == 5.0
    assert last["wear_um_sd_4"] == pytest.approx(np.std([1, 3, 5, 11], ddof=1), rel=1e-6)
    assert last["wear_um_slope_4"] == pytest.approx(np.polyfit([1, 2, 3, 4], [1, 3, 5, 11], 1)[0], rel=1e-6)
    assert last["wear_um_change"] == 3.0
    assert "wear_um_sd_2" not in last


def test_a_window_is_set_beside_what_is_usual_of_its_entity(bare_ctx, table_file):
    """The mean of the rows before the longest window, of the same tool; none before it, none known."""
    rows = [(0, 2.0), (1, 100.0), (0, 4.0), (0, 5.0), (0, 11.0)]
    file = table_file(_table(rows))
    usual = {"entity": ["tool_id"], "order": "cycle", "windows": [2], "base_rows": 0, "usual_rows": 5}
    features = load_frame(_spec(file, sequence=usual), bare_ctx).table.to_pylist()
    above = {row["__key_row_id"]: row["wear_um_above_2"] for row in features}
    assert above["R4"] == (5.0 + 11.0) / 2 - (2.0 + 4.0) / 2
    assert above["R3"] == (4.0 + 5.0) / 2 - 2.0
    assert above["R0"] is None
    assert above["R1"] is None


def test_a_slope_over_moments_counts_by_the_hour(bare_ctx, table_file):
    content = _table([(0, float(2 * place)) for place in range(4)])
    content["at"] = np.datetime64("2026-01-01", "us") + np.array([0, 1, 2, 3]) * np.timedelta64(30, "m")
    ordered = SEQUENCE | {"order": "at"}
    spec = _spec(table_file(content), sequence=ordered, features={"exclude": ["tool_id", "at"]})
    last = load_frame(spec, bare_ctx).table.to_pylist()[-1]
    assert last["wear_um_slope_4"] == pytest.approx(4.0)


def test_a_sequence_without_its_column_is_told(bare_ctx, table_file):
    file = table_file(_table([(0, 1.0)] * 3))
    with pytest.raises(CellworksError, match="column 'hour' is missing"):
        load_frame(_spec(file, sequence=SEQUENCE | {"order": "hour"}), bare_ctx)


def test_a_long_life_is_just_long(bare_ctx, table_file):
    from models.labels.labels import make_labels

    spec = _spec(table_file(_table([(0, float(n)) for n in range(100)])), target={"column": "life", "at_most": 60})
    labels = make_labels(spec, load_frame(spec, bare_ctx).raw_target())
    assert labels.y.max() == 60
    assert labels.y.min() == 1
    assert pa.compute.max(load_frame(spec, bare_ctx).raw_target()).as_py() == 100
