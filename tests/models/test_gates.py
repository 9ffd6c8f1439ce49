"""Gates: what must be refused is refused, each for its own reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.context import ModelContext
from models.evaluation.bootstrap import Interval, paired_mean
from models.evaluation.evaluate import Evaluation, Outputs
from models.gates.checks import (
    baseline_gate,
    calibration_gate,
    champion_gate,
    claims_better,
    holdout_gate,
    inputs_gate,
    leak_gate,
    slice_gate,
    speed_gate,
)
from models.gates.judge import judge
from models.registry.aliases import graduate, promote, shadow_due
from models.registry.client import open_client
from models.registry.versions import aliases, champion
from models.spec import Gates
from models.train import train
from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import load_site


@pytest.fixture(scope="module")
def court(tmp_path_factory, mlflow_template, make_home, cells, solution):
    """A champion over the plain table, shared by the challengers of this file; none of them dethrones it."""
    folder = tmp_path_factory.mktemp("court")
    pq.write_table(pa.table(cells()), folder / "cells.parquet")
    ctx = ModelContext(make_home(folder), n_threads=1)
    spec = solution(str(folder / "cells.parquet"), "regression")
    verdict = judge(spec, ctx, train(spec, ctx))
    assert promote(spec, ctx, verdict).alias == "champion"
    return spec, ctx


@pytest.fixture
def reigning(court):
    """The reigning solution."""
    return court[0]


@pytest.fixture
def ctx(court):
    """Its context."""
    return court[1]


@pytest.mark.slow
def test_a_worse_challenger_is_refused(reigning, ctx, solution):
    worse = solution(reigning.table, "regression", features={"select": ["b_um", "c_c", "material_code"]})
    verdict = judge(worse, ctx, train(worse, ctx))
    assert not verdict.passed
    assert not verdict.gate("not_worse").passed
    assert "may be worse than champion 1" in verdict.sentence
    assert promote(worse, ctx, verdict).moved is False
    assert champion(ctx.home, "cells").version.number == "1"


@pytest.mark.faults
@pytest.mark.slow
def test_a_leaking_challenger_is_refused(reigning, ctx, table_file, cells, solution):
    columns = cells()
    rng = np.random.default_rng(1)
    columns["retest_ah"] = columns["capacity_ah"] + rng.normal(0, 0.1, len(columns["capacity_ah"]))
    leaking = solution(table_file(columns), "regression")
    verdict = judge(leaking, ctx, train(leaking, ctx))
    assert verdict.status == "failed"
    assert not verdict.gate("leak").passed
    assert "retest_ah" in verdict.sentence


@pytest.mark.slow
def test_a_challenger_that_falls_behind_in_one_slice_is_refused(reigning, ctx, table_file, cells, solution):
    columns = cells()
    line = np.where(np.arange(len(columns["a_mm"])) % 4 == 0, "L2", "L1")
    # The challenger reads a gauge that stands still on line 2; on line 1 it sees what the champion does.
    columns |= {"line_code": line, "gauge_mm": np.where(line == "L2", 0.0, columns["a_mm"])}
    chosen = {"select": ["gauge_mm", "b_um", "c_c", "material_code"]}
    gates = {"not_worse_margin": 10.0, "min_slice_rows": 20}
    spec = solution(table_file(columns), "regression", features=chosen, slices=["line_code"], gates=gates)
    verdict = judge(spec, ctx, train(spec, ctx))
    assert verdict.status == "failed"
    assert [gate.name for gate in verdict.gates if not gate.passed] == ["slices"]
    assert "line_code L2 falls behind by" in verdict.sentence
    assert promote(spec, ctx, verdict).moved is False


@pytest.mark.slow
def test_data_whose_checks_failed_is_refused(reigning, ctx):
    failed = replace(ctx, inputs_passed=False)
    verdict = judge(reigning, ctx, train(reigning, failed))
    assert not verdict.gate("inputs").passed
    assert "expectations failed" in verdict.sentence


@pytest.mark.slow
def test_an_equal_challenger_passes_without_claiming_to_be_better(reigning, ctx):
    verdict = judge(reigning, ctx, train(reigning, ctx.with_mode("refit")))
    assert verdict.passed
    assert verdict.champion == "1"
    assert not verdict.is_better
    assert "no worse than champion 1" in verdict.sentence


@pytest.mark.slow
def test_a_better_challenger_may_say_so(own_ctx, table_file, cells, solution):
    path = table_file(cells())
    poor = solution(path, "regression", features={"select": ["a_mm"]})
    assert promote(poor, own_ctx, judge(poor, own_ctx, train(poor, own_ctx))).alias == "champion"
    full = solution(path, "regression")
    verdict = judge(full, own_ctx, train(full, own_ctx))
    assert verdict.passed
    assert verdict.is_better


@pytest.mark.slow
def test_too_small_a_holdout_is_insufficient_and_keeps_the_champion(reigning, ctx, solution):
    spec = solution(reigning.table, "regression", gates={"min_holdout_groups": 30})
    verdict = judge(spec, ctx, train(spec, ctx))
    assert verdict.status == "insufficient"
    assert "groups of 30" in verdict.sentence
    assert promote(spec, ctx, verdict).alias == "challenger"
    assert champion(ctx.home, "cells").version.number == "1"


@pytest.mark.slow
def test_noise_does_not_beat_the_baselines(own_ctx, table_file, cells, solution):
    columns = cells()
    columns["capacity_ah"] = np.random.default_rng(3).normal(1175, 10, len(columns["capacity_ah"]))
    spec = solution(table_file(columns), "regression")
    verdict = judge(spec, own_ctx, train(spec, own_ctx))
    assert not verdict.gate("beats_baseline").passed
    assert promote(spec, own_ctx, verdict).moved is False


@pytest.mark.slow
def test_a_version_is_judged_again_by_its_number(reigning, ctx):
    trained = train(reigning, ctx.with_mode("refit"))
    first, again = judge(reigning, ctx, trained), judge(reigning, ctx, trained.version)
    assert [gate.passed for gate in first.gates] == [gate.passed for gate in again.gates]
    assert first.gate("not_worse").figures == again.gate("not_worse").figures
    with pytest.raises(CellworksError, match="champion itself"):
        judge(reigning, ctx, "1")


@pytest.mark.slow
def test_a_champion_whose_column_is_gone_gives_way_to_the_baselines(reigning, ctx, table_file, cells, solution):
    columns = cells()
    del columns["a_mm"]
    spec = solution(table_file(columns), "regression")
    verdict = judge(spec, ctx, train(spec, ctx))
    assert "cannot be scored any more" in verdict.gate("not_worse").sentence


# --- the figures behind the gates ---------------------------------------------------------------------------------


def _nights(seed: int, nights: int, window: int, skill: float) -> int:
    """False (or true) claims over consecutive nights whose hold-outs overlap, as real ones do."""
    rng = np.random.default_rng(seed)
    lots, size = nights + window, 12
    gain = rng.normal(skill, 1.0, (lots, size)) + rng.normal(0, 0.7, (lots, 1))
    claims = 0
    for night in range(nights):
        part = gain[night : night + window]
        groups = np.repeat(np.arange(window), size)
        claims += claims_better(paired_mean(np.zeros(part.size), part.ravel(), groups), Gates())
    return claims


def test_equal_skill_claims_to_be_better_in_at_most_5_percent_of_sixty_nights():
    runs = [_nights(seed, nights=60, window=15, skill=0.0) for seed in range(25)]
    assert sum(runs) <= 0.05 * 60 * 25
    assert np.mean([claims > 0 for claims in runs]) <= 0.12, "5 % of horizons, and what 25 of them can show"


def test_a_real_gain_is_still_claimed():
    assert _nights(1, nights=10, window=15, skill=1.5) >= 8


@given(st.integers(0, 10_000), st.floats(0.0, 0.5))
@settings(max_examples=30, deadline=None)
def test_not_worse_holds_the_margin(seed, margin):
    rng = np.random.default_rng(seed)
    champion_loss = rng.gamma(2, 1, 400)
    groups = np.repeat(np.arange(20), 20)
    gates = Gates(not_worse_margin=margin)
    identical, _ = champion_gate(paired_mean(champion_loss, champion_loss, groups), gates, "1")
    assert identical.passed
    clearly_worse, better = champion_gate(
        paired_mean(champion_loss * (1.2 + margin), champion_loss, groups), gates, "1"
    )
    assert not clearly_worse.passed
    assert not better


def test_the_margin_of_a_champion_that_saves_money_is_a_share_of_the_saving():
    saving = -np.random.default_rng(0).gamma(2, 1, 400)
    groups = np.repeat(np.arange(20), 20)
    same, better = champion_gate(paired_mean(saving, saving, groups), Gates(), "1")
    assert (same.passed, better) == (True, False)
    assert not champion_gate(paired_mean(saving * 0.8, saving, groups), Gates(), "1")[0].passed


def test_one_slice_that_falls_behind_is_named(solution):
    spec = solution("cells.csv", "regression")
    rng = np.random.default_rng(0)
    reference = rng.gamma(2, 1, 3000)
    line = np.repeat(["L1", "L2", "L3"], 1000)
    own = np.where(line == "L2", reference * 1.5, reference * 0.8)
    gate = slice_gate(spec, own, reference, np.arange(3000) // 20, {"line": line})
    assert not gate.passed
    assert gate.sentence == "line L2 falls behind by 50 %"


def _answers(y, predicted, seconds=0.1, **finished):
    return Outputs(np.arange(len(y)), y, predicted, finished, seconds)


def test_slow_scoring_is_refused_and_small_holdouts_are_charged_as_1000_rows(solution):
    spec = solution("cells.csv", "regression")
    y = np.zeros(4000)
    assert speed_gate(spec, _answers(y, y, seconds=3.9)).passed
    slow = speed_gate(spec, _answers(y, y, seconds=4.1))
    assert not slow.passed
    assert slow.sentence == "1.0250 s per 1,000 rows, allowed 1.0 s"
    few = np.zeros(50)
    assert speed_gate(spec, _answers(few, few, seconds=0.9)).passed
    assert not speed_gate(spec, _answers(few, few, seconds=1.1)).passed


def test_bent_probabilities_and_overconfident_classes_are_refused(solution):
    rng = np.random.default_rng(0)
    p, many = rng.beta(1, 4, 4000), rng.dirichlet(np.ones(3), 4000)
    y = (rng.random(4000) < p).astype(np.float64)
    drawn = (many.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1).astype(np.float64)
    sharp = many**3 / (many**3).sum(axis=1, keepdims=True)
    for task, truth, honest, bent in (("binary", y, p, p**2.5), ("multiclass", drawn, many, sharp)):
        spec = solution("cells.csv", task)
        assert calibration_gate(spec, _answers(truth, honest), {}).passed
        refused = calibration_gate(spec, _answers(truth, bent), {})
        assert not refused.passed
        assert refused.figures["calibration_error"] > 2 * refused.figures["limit"]


def test_intervals_that_hold_less_or_more_than_promised_are_refused(solution):
    spec = solution("cells.csv", "regression")
    nothing = _answers(np.zeros(1), np.zeros(1))
    told = {
        share: calibration_gate(spec, nothing, {"coverage": Interval(share, share - 0.02, share + 0.02, 40)})
        for share in (0.6, 0.87, 0.9, 0.99)
    }
    assert {share: gate.passed for share, gate in told.items()} == {0.6: False, 0.87: True, 0.9: True, 0.99: False}
    assert told[0.6].sentence == "60.0 % of the intervals hold, 90 % promised"


@pytest.mark.parametrize(
    ("costs", "decided", "said"),
    [
        ({"false_positive": 10.0, "false_negative": 1.0}, "yes", "flag none"),
        ({"false_positive": 1.0, "false_negative": 100.0}, "no", "flag all"),
    ],
)
def test_decisions_that_cost_more_than_doing_nothing_are_refused(solution, costs, decided, said):
    """The probabilities are right and beat the prior; only what is decided by them is too dear."""
    rng = np.random.default_rng(2)
    p = rng.beta(1, 3, 2000)
    y = (rng.random(2000) < p).astype(np.float64)
    classes = ["no", "yes"]
    wise = costs["false_positive"] / (costs["false_positive"] + costs["false_negative"])
    prudent = np.where(p >= wise, "yes", "no").astype(object)
    foolish = np.where(np.arange(2000) % 2 == 0, decided, prudent).astype(object)

    def gate(chosen):
        outputs = _answers(y, p, **{"class": chosen})
        evaluation = Evaluation(outputs, {}, {"prior": np.full(2000, y.mean())}, {}, "prior", 0.2)
        spec = solution("cells.csv", "binary", costs=costs)
        return baseline_gate(spec, classes, evaluation, np.arange(2000) // 20)

    assert gate(prudent).passed
    refused = gate(foolish)
    assert not refused.passed
    assert refused.figures["expected_cost"] >= refused.figures[said.replace(" ", "_")]
    assert f"{said} " in refused.sentence
    assert "gain over" not in refused.sentence


@pytest.mark.parametrize(
    ("tags", "passed"),
    [
        ({"inputs": "published", "inputs_passed": "true"}, True),
        ({"inputs": "published", "inputs_passed": "none"}, False),
        ({"inputs": "published", "inputs_passed": "false"}, False),
        ({"inputs": "own_table", "inputs_passed": "true"}, True),
        ({"inputs": "own_table", "inputs_passed": "none"}, False),
        ({"inputs": "unpublished", "inputs_passed": "true"}, False),
        ({"inputs": "file", "inputs_passed": "none"}, True),
        ({"inputs": "file", "inputs_passed": "false"}, False),
        ({}, False),
    ],
)
def test_inputs_must_be_published_and_checked(tags, passed):
    assert inputs_gate(tags).passed is passed


def test_one_feature_that_explains_everything_is_suspected(solution):
    spec = solution("cells.csv", "binary")
    figures = {"roc_auc": Interval(0.97, 0.95, 0.98, 40)}
    alone = {"top_share": "0.97", "top_feature": "scrap_reason", "n_features": "12"}
    assert "scrap_reason" in leak_gate(spec, figures, alone).sentence
    assert not leak_gate(spec, figures, alone).passed
    assert leak_gate(spec, figures, alone | {"top_share": "0.5"}).passed
    assert not leak_gate(spec, {"roc_auc": Interval(0.9999, 0.999, 1.0, 40)}, alone | {"top_share": "0.2"}).passed


def test_the_holdout_needs_events_of_each_class(solution):
    spec = solution("cells.csv", "binary")
    y = np.zeros(500)
    y[:9] = 1
    gate = holdout_gate(spec, y, np.arange(500) // 10, has_group=True)
    assert gate.sentence == "the hold-out is too small: 9 positives of 10"


@pytest.mark.parametrize(("task", "others"), [("binary", 0), ("multiclass", 2)])
def test_the_events_of_the_holdout_lie_in_several_groups(solution, task, others):
    spec = solution("cells.csv", task)
    groups = np.arange(500) // 10
    alone, spread = np.zeros(500), np.zeros(500)
    alone[:10] = spread[:30:3] = 1
    alone[450 : 450 + others] = spread[450 : 450 + others] = 2
    gate = holdout_gate(spec, alone, groups, has_group=True)
    assert (gate.passed, gate.sentence) == (False, "the hold-out is too small: positives in 1 groups of 3")
    assert holdout_gate(spec, spread, groups, has_group=True).passed
    assert holdout_gate(spec, alone, np.arange(500), has_group=False).passed


@pytest.mark.slow
def test_shadow_comes_before_champion_where_the_site_says_so(reigning, ctx):
    demo = load_site(Path("infra/sites/demo").resolve())
    shadowed = replace(ctx, site=demo.model_copy(update={"shadow_nights": 2}))
    night = datetime(2026, 2, 1, 6)  # noqa: DTZ001 - the plant's times are naive UTC
    first = replace(shadowed, as_of=night)
    trained = train(reigning, first.with_mode("refit"))
    promoted = promote(reigning, first, judge(reigning, first, trained))
    assert (promoted.alias, promoted.version) == ("shadow", trained.version)
    assert champion(ctx.home, "cells").version.number == "1"

    other = train(reigning, first.with_mode("refit"))
    waiting = promote(reigning, first, judge(reigning, first, other))
    assert waiting.alias == "challenger", "a version in the shadow is not displaced"
    assert shadow_due(reigning, replace(first, as_of=night + timedelta(days=1))) is None
    over = replace(first, as_of=night + timedelta(days=2))
    assert shadow_due(reigning, over) == trained.version
    crowned = graduate(reigning, over, judge(reigning, over, trained.version))
    assert (crowned.alias, crowned.moved) == ("champion", True)
    assert aliases(open_client(ctx), reigning.name)["previous"] == "1"
