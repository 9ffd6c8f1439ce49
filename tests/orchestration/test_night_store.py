"""A night's row and the documents made of it hold no number that JSON does not know."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from orchestration.catalogue import discover
from orchestration.cli import console
from orchestration.night_store import last_night, store_night
from orchestration.plant import plant
from orchestration.solving import Outcome
from pipelines.lake.connection import writer
from pipelines.lake.schemas import bootstrap

Here = Callable[..., Any]


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
    store_night(home, row, Outcome(spec), datetime(2026, 2, 1))  # noqa: DTZ001 - the plant's times are naive UTC
    stored = last_night(home, spec.solution)
    assert [stored[f"metric_{part}"] for part in ("value", "low", "high")] == [0.5, None, None]
    with writer(home, why="a row of an earlier release") as con:
        con.execute("UPDATE lake.ops.solution_night SET metric_high = 'nan'::DOUBLE")
    told = here("status", "--json")
    assert told.returncode == 0, told.stderr
    shown = next(each for each in _strict(told.stdout)["solutions"] if each["slug"] == spec.slug)
    assert shown["metric"] == {"name": "rmse", "value": 0.5, "low": None, "high": None}


def test_numbers_that_are_not_finite_are_null_however_deep_they_stand(capsys: Any) -> None:
    found = {"a": [1.5, math.nan, {"b": (-math.inf, 2)}], "at": datetime(2026, 2, 1), "c": True}  # noqa: DTZ001
    console.tell(found, "", as_json=True)
    shown = _strict(capsys.readouterr().out)
    assert shown == {"a": [1.5, None, {"b": [None, 2]}], "at": "2026-02-01T00:00:00", "c": True}
