"""The family's four functions: those of the predictive family with lives in place of labels, and gates of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from models.context import ModelContext
from models.drift.monitor import MonitorReport
from models.drift.monitor import monitor as watch
from models.evaluation.bootstrap import Interval, paired_mean
from models.evaluation.evaluate import Evaluation, answer
from models.fitting import Fitted, History
from models.gates.checks import calibration_gate, champion_gate, inputs_gate, leak_gate, slice_gate, speed_gate
from models.gates.judge import Judging, Versus, enough_rows
from models.gates.judge import judge as judge_by
from models.gates.verdict import Gate, Verdict
from models.prepare import Prepared
from models.registry.versions import Version
from models.scoring.runtime import Array, Scorer
from models.scoring.score import ScoreReport
from models.scoring.score import score as answer_all
from models.spec import PredictiveSpec
from models.survival_model.evaluate import evaluate_lives, lives_of, other_policies
from models.survival_model.fitting import fit
from models.survival_model.lives import PreparedLives, prepare_lives
from models.survival_model.metrics import squared_loss
from models.survival_model.policy import by_prediction
from models.survival_model.spec import SurvivalSpec
from models.train import Steps, TrainingResult
from models.train import train as train_by

_ENDED_LIVES = 3  # one or two lives that ended say nothing of the next one


def _prepare(spec: PredictiveSpec, ctx: ModelContext, columns: list[str] | None) -> Prepared:
    return prepare_lives(_own(spec), ctx, columns)


def _fit(spec: PredictiveSpec, ctx: ModelContext, prepared: Prepared, history: History | None) -> Fitted:
    own, ground = lives_of(spec, prepared)
    return fit(own, ctx, ground, history)


def _own(spec: PredictiveSpec) -> SurvivalSpec:
    if not isinstance(spec, SurvivalSpec):
        raise TypeError("a solution of remaining life has a SurvivalSpec")
    return spec


def train(spec: SurvivalSpec, ctx: ModelContext) -> TrainingResult:
    """Train, evaluate, log and register a challenger; see `models.train.train`."""
    return train_by(spec, ctx, Steps(_prepare, _fit, evaluate_lives))


def judge(spec: SurvivalSpec, ctx: ModelContext, challenger: TrainingResult | str) -> Verdict:
    """Judge a version and write the sealed verdict on it; see `models.gates.judge.judge`."""
    return judge_by(spec, ctx, challenger, Judging(_prepare, enough_lives, life_gates))


def score(spec: SurvivalSpec, ctx: ModelContext) -> ScoreReport:
    """Answer for every row that the champion has not answered yet; see `models.scoring.score.score`."""
    return answer_all(spec, ctx)


def monitor(spec: SurvivalSpec, ctx: ModelContext) -> MonitorReport:
    """Watch the champion: drift of inputs and answers.

    Live skill needs ends that are seen, and of the newest lives only the short ones are: it would always look bad. The
    gates of the next night judge the champion on lives that began after it was made.
    """
    return watch(spec, ctx, has_live_skill=False)


def enough_lives(spec: PredictiveSpec, prepared: Prepared, rows: Array) -> Gate:
    """Whether the hold-out can tell: rows and lives, and some that ended in it; see `Judging`."""
    own, ground = lives_of(spec, prepared)
    gate = enough_rows(own, ground, rows)
    ended = len(np.unique(ground.order.group[rows][np.isfinite(ground.whole.upper[rows])]))
    figures = {**gate.figures, "ended_lives": ended}
    if gate.passed and ended < _ENDED_LIVES:
        return Gate(gate.name, False, f"the hold-out is too small: {ended} of {_ENDED_LIVES} lives ended", figures)
    return replace(gate, figures=figures)


def life_gates(
    spec: PredictiveSpec, prepared: Prepared, version: Version, scorer: Scorer, versus: Versus
) -> tuple[list[Gate], bool]:
    """All gates on a hold-out that is large enough; see `Judging`."""
    own, ground = lives_of(spec, prepared)
    rows = ground.split.holdout
    evaluation = evaluate_lives(own, ground, scorer, rows)
    lives, groups = ground.lives.take(rows), ground.order.group[rows]
    loss = squared_loss(lives, evaluation.outputs.finished["value"])
    naive = {name: squared_loss(lives, each) for name, each in evaluation.baselines.items()}
    against, is_better, reference = versus.alone, False, naive[evaluation.best_baseline]
    if versus.scorer is not None:
        other = answer(own, ground, versus.scorer, rows).finished["value"]
        reference = squared_loss(lives, other)
        gain = paired_mean(loss, reference, groups, own.search.seed)
        against, is_better = champion_gate(gain, own.gates, str(versus.number))
    slices = {
        name: np.asarray(column.to_pylist(), dtype=object).astype(str)[rows]
        for name, column in ground.frame.slices.items()
    }
    gates = [
        _baseline_gate(own, loss, naive, groups, evaluation),
        against,
        slice_gate(own, loss, reference, groups, slices),
        calibration_gate(own, evaluation.outputs, evaluation.metrics),
        speed_gate(own, evaluation.outputs),
        inputs_gate(version.tags),
        _leak(own, evaluation, version.tags),
        _concordance_gate(own, evaluation),
    ]
    return [*gates, *([_policy_gate(own, ground, scorer, evaluation)] if own.policy else [])], is_better


def _baseline_gate(
    spec: SurvivalSpec, loss: Array, naive: dict[str, Array], groups: Array, evaluation: Evaluation
) -> Gate:
    """Beats every naive baseline, with the paired 95 % interval of the gain above zero."""
    figures: dict[str, Any] = {"skill": evaluation.skill}
    lost = []
    for name, reference in naive.items():
        gain = paired_mean(loss, reference, groups, spec.search.seed)
        low, high = gain.interval
        figures[name] = {"gain": gain.mean, "low": low, "high": high, "loss": gain.reference}
        if low <= 0:
            lost.append(f"the gain over {name.replace('_', ' ')} is {gain.mean:.4g} (95 % {low:.4g} to {high:.4g})")
    if evaluation.skill < spec.gates.min_skill:
        lost.append(f"skill {evaluation.skill:.3f} is below {spec.gates.min_skill}")
    return Gate("beats_baseline", not lost, "; ".join(lost) or f"beats {', '.join(naive)}", figures)


def _leak(spec: SurvivalSpec, evaluation: Evaluation, tags: dict[str, str]) -> Gate:
    """Too good to be true; the share of variance stands for the score."""
    lives = evaluation.metrics["rmse"].value
    spread = float(np.std(evaluation.outputs.y))
    score = 1 - (lives / spread) ** 2 if spread > 0 else 0.0
    return leak_gate(spec, {"r2": Interval(score, score, score, 1)}, tags)


def _concordance_gate(spec: SurvivalSpec, evaluation: Evaluation) -> Gate:
    """Tells which life ends first often enough, and better than its age alone."""
    found = evaluation.metrics["concordance"]
    best = max((value for value in evaluation.baseline_metrics.values() if not np.isnan(value)), default=0.5)
    limit = spec.min_concordance
    passed = found.value >= limit and found.value > best
    sentence = f"concordance {found.value:.3f} ({found.low:.3f} to {found.high:.3f}), {limit} asked, {best:.3f} naive"
    figures = {"concordance": found.value, "low": found.low, "high": found.high, "limit": limit, "naive": best}
    return Gate("concordance", passed, sentence, figures)


def _policy_gate(spec: SurvivalSpec, ground: PreparedLives, scorer: Scorer, evaluation: Evaluation) -> Gate:
    """Acting on it costs less than running to failure and than the fixed interval that was best before."""
    if spec.policy is None:
        raise ValueError("the solution prices nothing")
    rows = ground.split.holdout
    others = other_policies(spec, ground, rows)
    figures: dict[str, Any] = {}
    dearer = []
    for name, (past, bill) in others.items():
        own = by_prediction(past, evaluation.outputs.finished["value"], scorer.bundle["life"]["act_below"], spec.policy)
        figures["policy"], figures[name] = own.rate, bill.rate
        if not own.rate < bill.rate:
            dearer.append(name.replace("_", " "))
    costs = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items())
    unit = f"{spec.policy.unit} per {spec.target.unit or 'unit of life'}"
    sentence = f"{costs} {unit}" + (f": no cheaper than {' and '.join(dearer)}" if dearer else "")
    return Gate("policy", not dearer, sentence, figures)
