"""From a table to a champion that scores and is watched, for every task."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow.models import Model

from models.drift.monitor import monitor
from models.gates.judge import judge
from models.registry.aliases import promote
from models.registry.client import open_client
from models.registry.figures import version_figures
from models.registry.versions import champion
from models.scoring.score import score
from models.train import train
from pipelines.control_plan.site import load_site
from pipelines.lake.connection import reader

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("task", ["regression", "quantile", "binary", "multiclass"])
def test_a_table_becomes_a_champion_that_scores(task, ctx, table_file, cells, solution, later):
    action = {"kind": "hold_lot", "above": 1180.0, "classes": ["C"]}
    spec = solution(table_file(cells()), task, action=action, slices=["shift_code"])
    trained = train(spec, ctx)
    figure = trained.metrics[spec.primary_metric]
    assert figure.low < figure.value < figure.high
    assert set(trained.baselines) == {"prior", "lot_mean", "last_value"}
    assert trained.dropped["constant"].startswith("constant")
    assert trained.dropped["empty"] == "all missing"

    verdict = judge(spec, ctx, trained)
    assert verdict.passed, verdict.sentence
    assert verdict.gate("slices").figures
    assert promote(spec, ctx, verdict).alias == "champion"

    early = replace(ctx, as_of=later)
    report = score(spec, early)
    assert report.rows == 1600
    assert report.version == trained.version
    with reader(ctx.home) as con:
        rows = con.execute("SELECT * FROM lake.solutions.cells").to_arrow_table().to_pylist()
    assert {row["model_version"] for row in rows} == {int(trained.version)}
    assert all(row["predicted_at"] == later for row in rows)
    explained = [row for row in rows if row["reasons"]]
    assert len(explained) == report.explained >= 20
    assert {"feature", "value", "contribution"} == set(json.loads(explained[0]["reasons"])[0])
    assert all(row["reasons"] for row in rows if row["is_flagged"])
    if task in ("regression", "quantile"):
        assert all(row["low"] < row["value"] < row["high"] for row in rows)
        assert sum(row["is_flagged"] for row in rows) == sum(row["value"] > 1180.0 for row in rows)
    else:
        assert all(row["class"] is not None and 0 <= row["probability"] <= 1 for row in rows)

    assert score(spec, early).skipped, "the same entities are not scored twice"
    acting = champion(ctx.home, spec.name)
    assert acting is not None
    assert (acting.version.number, acting.alarm) == (trained.version, None)
    figures = version_figures(spec, ctx, trained.version)
    assert figures["metric_name"] == spec.primary_metric
    assert figures["metric_low"] < figures["metric_value"] < figures["metric_high"]
    assert (figures["baseline_name"], figures["baseline_value"]) == (
        trained.best_baseline,
        trained.baselines[trained.best_baseline],
    )


def test_live_skill_counts_only_predictions_made_before_the_label(ctx, table_file, cells, solution, later):
    path = table_file(cells(2400, days=45))
    # The 2nd of February: labels of the first 31 days are in, those of the rest come later.
    now = replace(ctx, as_of=later.replace(month=2, day=2))
    spec = solution(path, "binary")
    trained = train(spec, now)
    promote(spec, now, judge(spec, now, trained))
    score(spec, now)
    watched = monitor(spec, now)
    assert watched.days == []
    assert watched.skill_lost is None
    assert [each.kind for each in watched.drift].count("score") == 1
    assert (watched.drifted_inputs, watched.score_drifted) == ([], False)

    few = monitor(spec, replace(ctx, as_of=later.replace(month=2, day=3)))
    assert few.skill_lost is None, "the labels of a day are of one or two lots"
    assert "too few groups" in few.sentence

    later = replace(ctx, as_of=later)
    seen = monitor(spec, later)
    assert seen.skill_lost is False, seen.sentence
    days = {day.production_day for day in seen.days if day.production_day}
    assert min(days).isoformat() >= "2026-02-01", "labels known before the prediction do not count"
    monitor(spec, later)
    with reader(ctx.home) as con:
        written = con.execute("SELECT count(*), count(DISTINCT production_day) FROM lake.ops.live_skill").fetchone()
        bounds = con.execute("SELECT count(value), count(low), count(high) FROM lake.ops.live_skill").fetchone()
    assert written == (2 * len(days), len(days)), "a repeated look replaces its rows"
    assert bounds == (2 * len(days), 0, 0), "a day is of one or two lots, which give no interval"
    assert all(day.low < day.value < day.high for day in seen.days if day.production_day is None)


def test_live_days_are_the_production_days_of_the_site(ctx, table_file, cells, solution, later):
    columns = cells(2400, days=45)
    spec = solution(table_file(columns), "regression", search={"trials": 1, "max_rounds": 60})
    now = replace(ctx, as_of=later.replace(month=2, day=2))
    promoted = promote(spec, now, judge(spec, now, train(spec, now)))
    assert promoted.alias == "champion", promoted.sentence
    score(spec, now)
    site = load_site(Path("infra/sites/demo").resolve())
    seen = monitor(spec, replace(ctx, as_of=later, site=site)).days
    shown = {day.production_day: day.rows for day in seen if day.production_day}
    # Shanghai is eight hours ahead and its production day begins at six, so 22:30 UTC belongs to the next one.
    acted = columns["started_at"][columns["label_known_at"] >= np.datetime64(now.as_of)]
    days, counts = np.unique((acted + np.timedelta64(2, "h")).astype("datetime64[D]"), return_counts=True)
    assert shown == {day: rows for day, rows in zip(days.tolist(), counts.tolist(), strict=True) if rows >= 20}
    days, counts = np.unique(acted.astype("datetime64[D]"), return_counts=True)
    assert shown != dict(zip(days.tolist(), counts.tolist(), strict=True)), "the rows cannot tell UTC days apart"


def test_drifted_inputs_and_lost_skill_ask_for_retraining(ctx, table_file, cells, solution, later):
    columns = cells(2400, days=45)
    spec = solution(table_file(columns), "regression")
    now = replace(ctx, as_of=later.replace(month=2, day=2))
    promoted = promote(spec, now, judge(spec, now, train(spec, now)))
    assert promoted.alias == "champion", promoted.sentence
    moved = columns["started_at"] > np.datetime64("2026-02-01")
    changed = columns | {
        "a_mm": np.where(moved, columns["a_mm"] + 3, columns["a_mm"]),
        "capacity_ah": np.where(moved, 2350 - columns["capacity_ah"], columns["capacity_ah"]),
    }
    table_file(
        {name: values[moved] if name != "empty" else values[: int(moved.sum())] for name, values in changed.items()}
    )
    score(spec, now)
    seen = monitor(spec, replace(ctx, as_of=later))
    assert "a_mm" in [each.name for each in seen.drifted_inputs]
    assert "e_v" not in [each.name for each in seen.drifted_inputs]
    assert seen.score_drifted
    assert seen.skill_lost


def test_a_refit_starts_from_the_best_known_parameters(ctx, table_file, cells, solution):
    spec = solution(table_file(cells()), "regression")
    first = train(spec, ctx)
    again = train(spec, ctx.with_mode("refit"))
    assert (again.mode, again.trials) == ("refit", 1)
    assert again.params == first.params
    assert again.library == first.library


def test_the_same_seed_gives_the_same_model(ctx, table_file, cells, solution):
    spec = solution(table_file(cells()), "binary")
    one, two = train(spec, ctx), train(spec, ctx)
    assert one.params == two.params
    bundles = [Path(each.registered.bundle) for each in (one, two)]
    boosters = [(folder / one.fitted.scorer.bundle["boosters"][0]).read_bytes() for folder in bundles]
    assert boosters[0] == boosters[1]


def test_a_run_says_what_it_stands_on(ctx, table_file, cells, solution):
    spec = solution(table_file(cells()), "binary")
    trained = train(spec, ctx)
    client = open_client(ctx)
    run = client.get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    assert {"lake_snapshot", "data_digest", "plan_hash", "code_revision", "lock_hash"} <= set(run.data.tags)
    assert len(run.data.tags["data_digest"]) == 64
    assert run.inputs.dataset_inputs[0].dataset.name == spec.table
    assert {"roc_auc", "roc_auc_low", "roc_auc_high", "baseline_prior", "skill"} <= set(run.data.metrics)
    artifacts = {each.path for each in client.list_artifacts(trained.run_id)}
    assert {"trials.json", "model_card.md", "plots", "importance.json"} <= artifacts
    plots = {each.path for each in client.list_artifacts(trained.run_id, "plots")}
    names = ("calibration", "residuals_by_group", "shap_summary", "learning_curve")
    assert plots == {f"plots/{name}.png" for name in names}
    assert champion(ctx.home, "cells") is None, "training promotes nothing"
    card = Path(client.download_artifacts(trained.run_id, "model_card.md")).read_text()
    for said in (spec.question, "## Figures on the hold-out", "roc_auc (primary)", "## Limits", "code_revision"):
        assert said in card
    logged = Model.load(str(trained.registered.bundle.parents[1]))
    features = {feature["name"] for feature in trained.fitted.scorer.bundle["features"]}
    assert set(logged.signature.inputs.input_names()) == features
    assert logged.saved_input_example_info is not None


def test_a_first_refit_is_a_search_and_is_called_one(ctx, table_file, cells, solution):
    trained = train(solution(table_file(cells(800)), "binary"), ctx.with_mode("refit"))
    run = open_client(ctx).get_run(trained.run_id)
    assert (trained.mode, trained.trials) == ("search", 3)
    assert (run.data.params["mode"], run.data.tags["mode"]) == ("search", "search")
