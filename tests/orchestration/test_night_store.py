"""A night's row and the documents made of it hold no number that JSON does not know."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration.catalogue import discover, find
from orchestration.cli import console
from orchestration.cost import Cost, Meter
from orchestration.night import solve
from orchestration.night_store import COST_COLUMNS, last_night, store_night
from orchestration.plant import plant
from orchestration.solving import PREDICTIONS, Outcome
from pipelines.lake.connection import reader, writer
from pipelines.lake.schemas import bootstrap
from tests.orchestration.conftest import write_rule

Here = Callable[..., Any]
AT = datetime(2026, 2, 1)  # noqa: DTZ001 - the plant's times are naive UTC


def _strict(text: str) -> Any:
    """The document, as a reader that keeps to the standard takes it."""

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_an_interval_that_one_group_cannot_give_is_null_in_the_row_and_in_the_status(here: Here) -> None:
    home = plant().home.ensure()
    bootstrap(home, plant().site)
    spec = discover()[0]
    row = {"metric_name": "rmse", "metric_value": 0.5, "metric_low": math.nan, "metric_high": math.inf}
    store_night(home, row, Outcome(spec), AT)
    stored = last_night(home, spec.solution)
    assert [stored[f"metric_{part}"] for part in ("value", "low", "high")] == [0.5, None, None]
    with writer(home, why="a row of an earlier release") as con:
        con.execute("UPDATE lake.ops.solution_night SET metric_high = 'nan'::DOUBLE")
    told = here("status", "--json")
    assert told.returncode == 0, told.stderr
    shown = next(each for each in _strict(told.stdout)["solutions"] if each["slug"] == spec.slug)
    assert shown["metric"] == {"name": "rmse", "value": 0.5, "low": None, "high": None}


def test_a_secret_in_a_failure_is_kept_nowhere(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = plant().home.ensure()
    bootstrap(home, plant().site)
    (tmp_path / "planted").mkdir()
    write_rule(tmp_path / "planted", home.root)
    spec = find("mine/graded")
    (tmp_path / "planted" / "graded.csv").unlink()
    monkeypatch.setenv("PGPASSWORD", "planted")
    outcome = solve(spec, plant(), parts=(PREDICTIONS,), domain=None, full_search=False, actor="test")
    assert "[redacted]/graded.csv" in outcome.failure
    assert "planted" not in outcome.failure + outcome.trace
    with reader(home) as con:
        assert con.execute("SELECT reason FROM lake.ops.solution_night").fetchall() == [(outcome.failure,)]


def test_numbers_that_are_not_finite_are_null_however_deep_they_stand(capsys: Any) -> None:
    found = {"a": [1.5, math.nan, {"b": (-math.inf, 2)}], "at": datetime(2026, 2, 1), "c": True}  # noqa: DTZ001
    console.tell(found, "", as_json=True)
    shown = _strict(capsys.readouterr().out)
    assert shown == {"a": [1.5, None, {"b": [None, 2]}], "at": "2026-02-01T00:00:00", "c": True}


def test_a_night_of_an_earlier_release_has_no_cost_and_the_next_one_has(here: Here) -> None:
    home = plant().home.ensure()
    bootstrap(home, plant().site)
    spec, other = discover()[:2]
    store_night(home, {}, Outcome(other), AT)
    with writer(home, why="a lake of an earlier release") as con:
        for name in COST_COLUMNS:
            con.execute(f"ALTER TABLE lake.ops.solution_night DROP COLUMN {name}")
    cost = Cost(
        wall_s=2.0,
        cpu_s=1.5,
        peak_memory_bytes=300_000_000,
        read_bytes=None,
        written_bytes=7,
        s3_read_bytes=5,
        s3_written_bytes=0,
    )
    store_night(home, {"rows_scored": 3}, Outcome(spec, cost=cost), AT)
    shown = {each["slug"]: each for each in _strict(here("status", "--json").stdout)["solutions"]}
    assert shown[spec.slug]["cost"] == asdict(cost)
    assert shown[spec.slug]["rows_scored"] == 3
    assert set(shown[other.slug]["cost"].values()) == {None}
    told = here("status").stdout
    assert "Cost of the newest nights" in told
    assert "1.5 s" in told
    assert "cpu_s" not in last_night(home, spec.solution), "what one night cost is not the next one's"


def test_a_meter_counts_the_work_and_what_was_read_and_written(tmp_path: Any) -> None:
    meter = Meter()
    (tmp_path / "file").write_bytes(bytes(3_000_000))
    assert len((tmp_path / "file").read_bytes()) == 3_000_000
    while meter.cost().cpu_s < 0.05:
        sum(range(10_000))
    cost = meter.cost()
    assert cost.wall_s > 0
    assert cost.peak_memory_bytes > 10_000_000
    if cost.read_bytes is not None and cost.written_bytes is not None:
        assert 3_000_000 <= cost.read_bytes < 4_000_000
        assert 3_000_000 <= cost.written_bytes < 4_000_000
