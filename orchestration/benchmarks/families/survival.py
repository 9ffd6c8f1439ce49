"""SurvivalModel on one split: the reading, search and fit that a user's own table gets."""

from __future__ import annotations

from models.fitting import Fitted
from models.survival_model.evaluate import evaluate_lives
from models.survival_model.fitting import fit
from models.survival_model.lives import PreparedLives, prepare_lives
from models.survival_model.spec import SurvivalSpec
from orchestration.benchmarks.families.rows import Figures, judge_rows
from orchestration.benchmarks.lives import life_metrics
from orchestration.benchmarks.outcome import Answers, Array
from orchestration.benchmarks.splitting import Job, Judged


def judge(job: Job) -> Judged:
    """Learn and judge one split; see `judge_rows`."""
    return judge_rows(job, SurvivalSpec, prepare_lives, fit, _on, lambda fitted: " + ".join(fitted.found.libraries))


def _on(spec: SurvivalSpec, prepared: PreparedLives, fitted: Fitted, rows: Array) -> tuple[Figures, Answers]:
    evaluation = evaluate_lives(spec, prepared, fitted.scorer, rows)
    finished = evaluation.outputs.finished
    y = prepared.whole.lower[rows]
    found = {name: (each.value, each.low, each.high) for name, each in evaluation.metrics.items()}
    return found | life_metrics(y, finished["value"]), Answers(y, finished["value"], finished["low"], finished["high"])
