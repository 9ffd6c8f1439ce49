"""SurvivalModel on one split: the reading, search and fit that a user's own table gets."""

from __future__ import annotations

import time

from models.context import ModelContext
from models.survival_model.evaluate import evaluate_lives
from models.survival_model.fitting import fit
from models.survival_model.lives import prepare_lives
from models.survival_model.spec import SurvivalSpec
from orchestration.benchmarks.families.predictive import as_written, rows_of
from orchestration.benchmarks.lives import life_metrics
from orchestration.benchmarks.outcome import Answers
from orchestration.benchmarks.splitting import Job, Judged
from pipelines.lake.home import Home


def judge(job: Job) -> Judged:
    """Learn and judge one split.

    Args:
        job: the split; its file holds the rows with the column that parts them.
    """
    spec = SurvivalSpec.model_validate(as_written(job))
    ctx = ModelContext(home=Home(job.file.parent), n_threads=1)
    begun, cpu = time.perf_counter(), time.process_time()
    prepared = prepare_lives(spec, ctx)
    fitted = fit(spec, ctx, prepared)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    metrics: dict[tuple[str, str], tuple[float, float, float]] = {}
    answers = {}
    for part in job.judged:
        rows = rows_of(prepared, part)
        evaluation = evaluate_lives(spec, prepared, fitted.scorer, rows)
        finished = evaluation.outputs.finished
        y = prepared.whole.lower[rows]
        found = {name: (each.value, each.low, each.high) for name, each in evaluation.metrics.items()}
        metrics |= {(part, name): each for name, each in (found | life_metrics(y, finished["value"])).items()}
        answers[part] = Answers(y, finished["value"], finished["low"], finished["high"])
    return Judged(metrics, answers, " + ".join(fitted.found.libraries), seconds, cpu_s)
