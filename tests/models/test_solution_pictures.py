"""Pictures of solutions whose nights draw none: they show what the answers tell, and nothing where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.context import ModelContext
from models.decision_rule.score import score
from models.decision_rule.spec import DecisionSpec
from models.families import family_of
from orchestration.catalogue import find
from orchestration.evaluation import pictures
from orchestration.evaluation.pictures import decision_rule, optimizer
from pipelines.lake.home import Home

START = np.datetime64("2026-01-01T00:00:00", "us")
GRADED = {
    "grading": {
        "grades": [{"name": "good", "limits": {"size_mm": {"at_least": 1.0, "at_most": 2.0}}}],
        "otherwise": "bad",
        "flagged": ["bad"],
    }
}
SAMPLED = {"sampling": {"lot_size": "units", "inspected": "n", "nonconforming": "bad", "aql": 1.0}}


@pytest.fixture
def ctx(tmp_path: Path) -> ModelContext:
    """A context over files in a fresh instance, without a registry: a rule needs none."""
    return ModelContext(Home(tmp_path / "home").ensure(), n_threads=1)


def rule(folder: Path, kind: dict[str, Any], columns: dict[str, Any]) -> DecisionSpec:
    count = len(next(iter(columns.values())))
    at = START + np.arange(count) * np.timedelta64(1, "D")
    rows = {"id": [f"R{number:04d}" for number in range(count)], "at": at, **columns}
    pq.write_table(pa.table(rows), folder / "rows.parquet")
    base = {"stage": "incoming", "slug": "decided", "question": "?", "keys": ["id"], "time": "at"}
    return DecisionSpec.model_validate(base | {"table": str(folder / "rows.parquet")} | kind)


def test_classes_are_counted_by_day_and_numbers_stand_beside_their_limits(ctx: ModelContext, tmp_path: Path) -> None:
    sizes = [1.5, 1.6, 0.4, 1.7, 1.8, 2.9]
    spec = rule(tmp_path, GRADED, {"size_mm": sizes})
    score(spec, ctx)
    figure = decision_rule.draw(spec, ctx)
    assert figure is not None
    above, below = figure.axes
    assert above.get_title() == "a day, beside 4 good"
    assert sum(bar.get_height() for bar in above.patches) == 2
    usual, flagged = (sorted(dots.get_offsets()[:, 1]) for dots in below.collections)
    assert usual == [1.5, 1.6, 1.7, 1.8]
    assert flagged == [0.4, 2.9]
    assert {float(line.get_ydata()[0]) for line in below.lines} == {1.0, 2.0}


def test_lots_are_shown_by_verdict_beside_what_their_plan_lets_pass(ctx: ModelContext, tmp_path: Path) -> None:
    lots = 12
    columns = {"units": [2000] * lots, "n": [200] * lots, "bad": [0] * (lots - 1) + [40]}
    spec = rule(tmp_path, SAMPLED, columns)
    score(spec, ctx)
    figure = decision_rule.draw(spec, ctx)
    assert figure is not None
    curves, verdicts = figure.axes
    chance = curves.lines[0].get_ydata()
    assert chance[0] == 1.0
    assert (np.diff(chance) <= 0).all()
    assert {text.get_text() for text in verdicts.get_legend().get_texts()} == {
        "accepted (11)",
        "rejected (1)",
        "stopped (0)",
    }


def test_trials_show_those_that_come_next_and_how_the_aim_answers(ctx: ModelContext, tmp_path: Path) -> None:
    spec: Any = find("rnd/formulation_optimizer")
    score(rule(tmp_path, GRADED, {"size_mm": [1.5]}), ctx)  # another's night: there is a lake
    assert not pictures.draw(spec, ctx, tmp_path / "none.png")  # before its first night
    assert not (tmp_path / "none.png").exists()
    family_of(spec).score(spec, ctx)
    figure = optimizer.draw(spec, ctx)
    assert figure is not None
    history, *answers = (axis for axis in figure.axes if axis.get_visible())
    next_trials = history.containers[0].lines[0].get_xdata()
    assert len(next_trials) == spec.optimizer.batch
    assert len(answers) == len(spec.optimizer.vary)
    for axis, one in zip(answers, spec.optimizer.vary, strict=True):
        curve, chosen = (line.get_data() for line in axis.lines)
        assert (curve[0][0], curve[0][-1]) == (one.low, one.high)
        # What is expected of the trial lies on the curve through it.
        assert np.interp(chosen[0][0], *curve) == pytest.approx(chosen[1][0], rel=1e-3)
    assert pictures.draw(spec, ctx, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
