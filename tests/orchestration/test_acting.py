"""Which predictions become actions: of the champion, not yet decided by events, and each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.context import ModelContext
from models.registry.audit import Move, open_moves, write_phase
from models.registry.client import open_client
from models.registry.versions import aliases, sign_override
from models.scoring.rule import RuleAnswers, score_by_rule
from models.scoring.score import score
from models.solution import RuleSpec
from models.spec import FeatureSelection, PredictiveSpec
from orchestration.acting import act
from orchestration.catalogue import find
from orchestration.night import solve
from orchestration.night_store import last_night
from orchestration.plant import Plant, plant
from orchestration.solving import MODEL, PREDICTIONS, Outcome
from pipelines.lake.connection import reader, writer
from pipelines.lake.publish import publish, published_snapshot
from pipelines.lake.schemas import bootstrap

pytestmark = pytest.mark.slow

NOW = datetime(2026, 2, 1, 6)  # noqa: DTZ001 - the plant's times are naive UTC
SERVED, AT_RISK, SILENT = "M0", "M1", "M2"


def _hours() -> pa.Table:
    """Ten machines, a row every six hours up to now; the warmer, the likelier it fails."""
    rng = np.random.default_rng(0)
    machine, step = np.repeat(np.arange(10), 120), np.tile(np.arange(120), 10)
    now = np.datetime64(NOW, "us")
    x = rng.normal(size=len(step))
    fails = x + rng.normal(0, 0.4, len(step)) > 1
    hour = now - (6 * (119 - step)).astype("timedelta64[h]")
    x[step == 119] = -5.0
    # At risk yesterday and served since; at risk now; at risk when it was last heard of, three days ago.
    x[(machine == 0) & (step == 118)] = 5.0
    x[(machine == 1) & (step == 119)] = 5.0
    x[(machine == 2) & (step == 107)] = 5.0
    heard = (machine != 2) | (step <= 107)
    names = np.char.add("M", machine.astype(str))
    table = pa.table({"machine_id": names, "hour_at": hour, "x_c": x, "z_c": rng.normal(size=len(x)), "fails": fails})
    return table.filter(pa.array(heard))


def _deliver(here: Plant, now: datetime, table: pa.Table | None = None) -> None:
    """The plant's clock moves on, with a table or without; published."""
    with writer(here.home, why="test delivery") as con:
        con.execute(
            "INSERT INTO lake.ops.ingest_offset "
            "(source, feed, fingerprint, status, note, rows_in, rows_quarantined, max_known_at, batch_id, ingested_at) "
            "VALUES ('drop', 'hours', ?, 'done', '', 0, 0, ?, 1, ?)",
            [str(now), now, datetime.now(UTC).replace(tzinfo=None)],
        )
        if table is not None:
            con.register("__hours", table)
            con.execute("CREATE OR REPLACE TABLE lake.marts.hours AS FROM __hours")
        publish(con, "test", str(now))


def _spec() -> PredictiveSpec:
    return PredictiveSpec.model_validate(
        {
            "stage": "mine",
            "slug": "failing",
            "question": "Will it fail?",
            "table": "marts.hours",
            "keys": ["machine_id", "hour_at"],
            "features": {"select": ["x_c", "z_c"]},
            "target": {"column": "fails", "delay_h": 48},
            "task": "binary",
            "split": {"time": "hour_at"},
            "costs": {"false_positive": 1.0, "false_negative": 2.0},
            "search": {"trials": 1, "refit_trials": 1, "max_rounds": 30, "libraries": ["lightgbm"]},
            "action": {"kind": "route"},
        }
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """A plant whose machines were delivered, promoting without shadow."""
    monkeypatch.setenv("CELLWORKS_HOME", str(tmp_path / "home"))
    found = plant()
    made = Plant(found.site.model_copy(update={"shadow_nights": 0}), found.home)
    bootstrap(made.home.ensure(), made.site)
    _deliver(made, NOW, _hours())
    return made


def _night(here: Plant, *parts: Any) -> Outcome:
    outcome = solve(_spec(), here, parts=parts, domain="test", full_search=False, actor="test")
    assert outcome.failure == "", outcome.trace or outcome.failure
    return outcome


def _actions(here: Plant) -> list[tuple[Any, ...]]:
    with reader(here.home) as con:
        return con.execute("SELECT target_id, model_version FROM lake.ops.action ORDER BY ALL").fetchall()


def test_only_what_can_still_be_acted_upon_is_proposed(here: Plant) -> None:
    brought = _night(here, MODEL, PREDICTIONS).results[PREDICTIONS]
    with reader(here.home) as con:
        flagged = con.execute("SELECT DISTINCT machine_id FROM lake.solutions.failing WHERE is_flagged").fetchall()
    assert {(SERVED,), (AT_RISK,), (SILENT,)} <= set(flagged), "each was at risk at some hour"
    assert brought["flagged"] > brought["actions"] == 1
    assert _actions(here) == [(AT_RISK, "1")]


def test_the_figures_shown_are_those_of_the_version_that_reigns(here: Plant) -> None:
    _night(here, MODEL, PREDICTIONS)
    first = last_night(here.home, "mine/failing")
    table = _hours()
    _deliver(here, NOW, table.set_column(2, "x_c", pc.add(table["x_c"], table["z_c"])))  # harder to tell
    _night(here, MODEL)
    ctx = ModelContext(here.home, here.site, published_snapshot(here.home, "test"), NOW)
    sign_override(here.home, "mine.failing", "2", "Ana", "test")
    shown = {}
    for version in ("2", "1"):
        open_client(ctx).set_registered_model_alias("mine.failing", "champion", version)
        _night(here, PREDICTIONS)
        shown[version] = last_night(here.home, "mine/failing")
    named = ("champion_version", "metric_value", "metric_low", "metric_high", "baseline_name", "baseline_value")
    assert {name: shown["1"][name] for name in named} == {name: first[name] for name in named}
    assert shown["2"]["champion_version"] == "2"
    assert shown["2"]["metric_value"] < first["metric_value"]


def test_a_champion_taken_away_by_hand_is_shown_no_more(here: Plant) -> None:
    _night(here, MODEL, PREDICTIONS)
    ctx = ModelContext(here.home, here.site, published_snapshot(here.home, "test"), NOW)
    open_client(ctx).delete_registered_model_alias("mine.failing", "champion")
    _night(here, PREDICTIONS)
    stopped = last_night(here.home, "mine/failing")
    assert (stopped["champion_version"], stopped["metric_value"]) == (None, None)
    outcome = _night(here, MODEL, PREDICTIONS)
    assert outcome.results[MODEL]["alias"] == "challenger"
    assert "the champion was taken away by hand" in outcome.skipped
    stopped = last_night(here.home, "mine/failing")
    assert stopped["champion_version"] is None
    assert stopped["metric_value"] == outcome.results[MODEL]["metric_value"], "the best version's, promoted or not"


def test_a_version_in_the_shadow_whose_column_is_gone_stops_no_night(here: Plant) -> None:
    for _ in range(2):
        _night(here, MODEL)
    ctx = ModelContext(here.home, here.site, published_snapshot(here.home, "test"), NOW)
    client = open_client(ctx)
    client.set_registered_model_alias("mine.failing", "champion", "1")
    client.set_registered_model_alias("mine.failing", "shadow", "2")
    _deliver(here, NOW, _hours().drop_columns(["z_c"]))
    spec = _spec().model_copy(update={"features": FeatureSelection(select=["x_c"])})
    outcome = solve(spec, here, parts=(MODEL,), domain="test", full_search=False, actor="test")
    assert outcome.failure == "", outcome.trace or outcome.failure
    assert outcome.results[MODEL]["version"] == "3"
    assert outcome.results[MODEL]["graduation"].startswith("taken out of the shadow: version 2 can't be judged: ")
    assert "shadow" not in aliases(client, "mine.failing")


def test_actions_lost_to_a_kill_are_proposed_by_the_next_night_and_once(here: Plant) -> None:
    _night(here, MODEL)
    ctx = ModelContext(here.home, here.site, published_snapshot(here.home, "test"), NOW)
    assert score(_spec().model_copy(update={"domain": "test"}), ctx).flagged  # and then the machine went down
    with writer(here.home, why="an earlier version flagged what a correction took out of the table since") as con:
        con.execute(
            "INSERT INTO lake.solutions.failing SELECT * REPLACE ('GONE' AS machine_id, 0 AS model_version, "
            "true AS is_flagged) FROM lake.solutions.failing WHERE machine_id = ?",
            [SERVED],
        )
    write_phase(here.home, Move("half", "promote", "mine.failing", {}, {"champion": "1"}, "Ana", "test"), "intent")
    brought = _night(here, PREDICTIONS).results[PREDICTIONS]
    assert (brought["rows"], brought["actions"]) == (0, 1)
    assert _actions(here) == [(AT_RISK, "1")], "what only an earlier version flagged is not this one's"
    assert open_moves(here.home) == [], "a move of aliases that was killed half way is finished before scoring"
    _night(here, PREDICTIONS)
    # The next day neither cool-down nor the limit of the day hold; the outcome is still open.
    _deliver(here, NOW + timedelta(hours=26))
    assert _night(here, PREDICTIONS).results[PREDICTIONS]["actions"] == 0
    assert _actions(here) == [(AT_RISK, "1")]


def test_a_rules_move_of_a_setpoint_is_proposed_once_with_its_values(here: Plant) -> None:
    spec = find("electrode/coat_weight_control").model_copy(update={"domain": "test"})
    assert isinstance(spec, RuleSpec)
    ctx = ModelContext(here.home, here.site, as_of=NOW)
    code, moment = "cathode_pump_speed_ratio_pct", pa.array([NOW], pa.timestamp("us"))
    keys = {"coater_id": pa.chunked_array([["coater_c1"]]), "mother_roll_id": pa.chunked_array([["CR1"]])}
    answers = {"value": pa.array([0.5]), "class": ["move"], "is_flagged": [True], "reasons": ["[]"]}
    columns = {"characteristic_code": [code], "current_value": [100.0], "proposed_value": [100.5], "priority": [1.0]}
    found = RuleAnswers(keys, moment.to_numpy(), answers, {}, {"move": pa.table({**keys, **columns})})
    report = score_by_rule(spec, ctx, 1, lambda _: found)
    for proposed in (1, 0):
        assert act(spec, ctx, NOW, str(report.version)).proposed == proposed
    with reader(here.home) as con:
        told = con.execute(
            "SELECT kind, target_id, characteristic_code, current_value, proposed_value FROM lake.ops.action"
        ).fetchall()
    assert told == [("setpoint_advice", "coater_c1", code, 100.0, 100.5)]
