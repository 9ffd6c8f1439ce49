"""A monitor's night: learnt and registered, judged, its rows answered, and watched as faults become known."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.drift.live import LiveDay, production_days
from models.drift.monitor import MonitorReport, Seen, watch_by
from models.evaluation.bootstrap import Interval
from models.features.frame import EmptyTableError
from models.gates.checks import inputs_gate
from models.gates.record import record
from models.gates.verdict import Gate, Status, Verdict
from models.process_monitor import charts, runtime
from models.process_monitor.card import capability_lines, draw, gauge_lines, model_card
from models.process_monitor.evaluation import Judged, evaluate
from models.process_monitor.fitting import Fitted, fit
from models.process_monitor.gates import (
    baseline_gate,
    champion_gate,
    gauge_gate,
    holdout_gate,
    rate_gate,
    speed_gate,
)
from models.process_monitor.observations import Observations, observe
from models.process_monitor.runtime import Scorer
from models.process_monitor.spec import MonitorSpec
from models.process_monitor.studies import Told, capabilities, gauge_studies
from models.registry.candidate import Candidate, Kind, register_candidate
from models.registry.client import open_client
from models.registry.run import training_run
from models.registry.versions import Version, get_version, rival
from models.scoring.score import ScoreReport, score_by
from models.scoring.table import answer_table, scored_keys
from pipelines.charts.capability import Capability
from pipelines.charts.gauge import GaugeStudy
from pipelines.control_plan.errors import CellworksError


@dataclass
class Trained:
    """A registered challenger; see `models.families.Trained`."""

    version: str
    run_id: str
    trials: int
    rows_development: int
    rows_holdout: int
    primary: str
    metrics: dict[str, Interval]
    baselines: dict[str, float]
    notes: list[str]
    seconds: dict[str, float]
    fitted: Fitted = field(repr=False)
    seen: Observations = field(repr=False)
    registered: Version = field(repr=False)
    library: str = "pca"
    best_baseline: str = "shewhart"


def scorer_of(version: Version) -> Scorer:
    """The monitor of a version."""
    return Scorer.load(version.bundle)


def train(spec: MonitorSpec, ctx: ModelContext) -> Trained:
    """Learn what is usual and register it as a challenger; nothing is promoted.

    Raises:
        NotYetError: the reference period is too short yet.
        CellworksError: the table cannot be watched, or MLflow does not answer.
    """
    client = open_client(ctx)
    with training_run(client, spec, ctx) as run:
        begun = time.perf_counter()
        seen = observe(spec, ctx)
        read_s = time.perf_counter() - begun
        cut = seen.cut(spec.reference.holdout_ratio)
        chosen = seen.is_reference & ~seen.is_later(cut) if cut else seen.is_reference
        if seen.is_faulty is not None:
            chosen &= ~seen.is_faulty
        fitted = fit(spec, ctx, seen, chosen, cut)
        fit_s = time.perf_counter() - begun - read_s
        judged = evaluate(spec, seen, fitted.scorer, [cut])
        capable = capabilities(spec, seen, chosen, judged.good)
        told = (capable, gauge_studies(spec, ctx))
        version = register_candidate(run, spec, ctx, _candidate(spec, seen, fitted, judged, told))
        total = time.perf_counter() - begun
        return Trained(
            version=version.number,
            run_id=run.run_id,
            trials=sum(len(each.tried) for each in fitted.learnt.values()),
            rows_development=fitted.rows,
            rows_holdout=int(judged.good.sum() + judged.faulty.sum()),
            primary=spec.primary_metric,
            metrics=judged.metrics,
            baselines=judged.baselines,
            notes=fitted.notes,
            seconds={name: round(value, 3) for name, value in (("read", read_s), ("fit", fit_s), ("total", total))},
            fitted=fitted,
            seen=seen,
            registered=version,
        )


def _candidate(
    spec: MonitorSpec,
    seen: Observations,
    fitted: Fitted,
    judged: Judged,
    told: tuple[dict[str, Told], dict[str, GaugeStudy]],
) -> Candidate:
    capable, gauges = told
    bundle = fitted.scorer.bundle
    inputs: dict[str, Kind] = dict.fromkeys(bundle["features"], "double")
    if spec.group:
        inputs[spec.group] = "string"
    inputs[spec.time] = "datetime" if seen.has_moment else "double"
    params: dict[str, Any] = {"false_alarm_rate": spec.false_alarm_rate, "persistence": spec.persistence}
    for group, each in fitted.learnt.items():
        of = f" {group}" if group else ""
        params |= {f"lags{of}": each.choice.lags, f"components{of}": each.choice.components}
    return Candidate(
        kind="process_monitor",
        library="pca",
        needs=(),
        digest=seen.digest,
        rows=(seen.table.num_rows, fitted.rows + judged.rows),
        columns={name: str(kind) for name, kind in zip(seen.table.column_names, seen.table.schema.types, strict=True)},
        inputs=inputs,
        outputs={"value": "double", "class": "string", "is_flagged": "boolean"},
        example=seen.table.select(list(inputs)).slice(0, 5),
        runtime=(Path(runtime.__file__), Path(charts.__file__)),
        write=fitted.save,
        draw=lambda folder: draw(spec, seen, fitted, folder),
        params=params,
        metrics=judged.metrics,
        values={
            **{f"baseline_{name}": value for name, value in judged.baselines.items()},
            **{f"cpk_{name}": each.cpk.value for name, each in capable.items() if isinstance(each, Capability)},
            **{f"grr_{name}": each.of_tolerance_ratio or 0.0 for name, each in gauges.items()},
        },
        card=lambda marks: model_card(spec, fitted, judged, [*capability_lines(capable), *gauge_lines(gauges)], marks),
        tags={"n_features": str(len(bundle["features"]))},
    )


def judge(spec: MonitorSpec, ctx: ModelContext, challenger: Trained | str) -> Verdict:
    """Judge what `train` returned, or a version by its number, and write the sealed verdict on it.

    Raises:
        CellworksError: no such version, or it is the champion itself.
    """
    client = open_client(ctx)
    trained = challenger if isinstance(challenger, Trained) else None
    version = trained.registered if trained else get_version(client, spec.name, str(challenger), ctx.home)
    own = trained.fitted.scorer if trained else scorer_of(version)
    acting = rival(ctx.home, version, client, audited=ctx.is_guarded)
    other = scorer_of(acting) if acting else None
    seen, why = _ground(spec, ctx, trained, own, other)
    if why:
        other = None
    number = acting.number if acting else None
    cuts = {version.number: own.bundle["record"]["cut"]}
    if other is not None and number is not None:
        cuts[number] = other.bundle["record"]["cut"]
    judged = evaluate(spec, seen, own, [cut["after"] for cut in cuts.values()])
    enough = holdout_gate(spec, judged)
    rows = int(judged.good.sum() + judged.faulty.sum())
    if not enough.passed:
        verdict = Verdict(spec.name, version.number, "insufficient", [enough], number, False, rows)
    else:
        against, is_better = Gate("not_worse", True, why or "there is no champion: the budget decides"), False
        if other is not None:
            theirs = evaluate(spec, seen, other, [cut["after"] for cut in cuts.values()])
            against, is_better = champion_gate(spec, judged, theirs, str(number))
        gates = [
            enough,
            rate_gate(spec, judged),
            baseline_gate(spec, judged),
            against,
            speed_gate(spec, judged),
            *([gauge_gate(gauge_studies(spec, ctx))] if spec.gauges else []),
            inputs_gate(version.tags),
        ]
        status: Status = "passed" if all(gate.passed for gate in gates) else "failed"
        verdict = Verdict(spec.name, version.number, status, gates, number, is_better, rows)
    return record(client, spec, ctx, version, replace(verdict, cutoffs=cuts))


def _ground(
    spec: MonitorSpec, ctx: ModelContext, trained: Trained | None, own: Scorer, other: Scorer | None
) -> tuple[Observations, str]:
    """Rows with every variable that the versions need, and why the champion cannot be measured on them."""
    needed = list(dict.fromkeys([*own.bundle["features"], *(other.bundle["features"] if other else [])]))
    if trained is not None and set(needed) <= set(trained.seen.table.column_names):
        return trained.seen, ""
    try:
        return observe(spec, ctx, columns=needed), ""
    except CellworksError as error:
        if other is None:
            raise
        seen = trained.seen if trained is not None else observe(spec, ctx, columns=own.bundle["features"])
        return seen, f"the champion cannot measure any more ({error.what}): the budget decides"


def score(spec: MonitorSpec, ctx: ModelContext) -> ScoreReport:
    """Answer with the champion for every row that it has not answered yet, into `solutions.<slug>`."""

    def answers(version: Version, now: datetime) -> tuple[pa.Table, dict[str, float]] | None:
        begun = time.perf_counter()
        scorer = scorer_of(version)
        done = scored_keys(ctx.home, spec, int(version.number))
        try:
            seen = observe(spec, ctx, columns=scorer.bundle["features"], done=done, rows_before=scorer.rows_before)
        except EmptyTableError:
            return None
        read_s = time.perf_counter() - begun
        rows = _rows(spec, scorer, seen, now, (int(version.number), ctx.snapshot))
        return rows, {"read": read_s, "predict": time.perf_counter() - begun - read_s}

    return score_by(spec, ctx, answers)


def _rows(
    spec: MonitorSpec, scorer: Scorer, seen: Observations, now: datetime, stamp: tuple[int, int | None]
) -> pa.Table:
    """Answers for the new rows, with reasons where they are in alarm."""
    found = scorer.predict(seen.table)
    acting = np.flatnonzero(found["is_flagged"] & seen.is_new)
    reasons = np.full(seen.table.num_rows, None, dtype=object)
    if spec.top_k and len(acting):
        reasons[acting] = scorer.reasons(seen.table, acting, spec.top_k)
    new = seen.is_new
    answers = {
        "value": pa.array(found["value"][new], from_pandas=True),
        "class": found["class"][new].tolist(),
        "is_flagged": found["is_flagged"][new],
        "reasons": reasons[new].tolist(),
    }
    keys = {key: column.filter(pa.array(new)) for key, column in seen.keys.items()}
    return answer_table(keys, seen.time[new] if seen.has_moment else None, answers, now, stamp)


def monitor(spec: MonitorSpec, ctx: ModelContext) -> MonitorReport:
    """Watch the champion: how much of each day is in alarm, and where faults become known, whether rightly."""

    def watch(version: Version) -> Seen:
        scorer = scorer_of(version)
        seen = observe(spec, ctx, columns=scorer.bundle["features"])
        judged = evaluate(spec, seen, scorer, [scorer.bundle["record"]["cut"]["after"]])
        figure, budget = judged.metrics["false_alarm_rate"], spec.gates.max_rate_ratio * spec.false_alarm_rate
        lost = None if figure.groups < 2 else figure.low > budget
        share = f"{100 * figure.value:.2f} % of the later good rows are in alarm, budget {100 * budget:.2f} %"
        sentence = share if lost is not None else "no later good row has come yet"
        return Seen(_days(ctx, seen, scorer, judged), [], lost, sentence)

    return watch_by(spec, ctx, watch)


def _days(ctx: ModelContext, seen: Observations, scorer: Scorer, judged: Judged) -> list[LiveDay]:
    """The share of rows in alarm by production day, after the version's cut."""
    if not seen.has_moment:
        return []
    later = seen.is_later(scorer.bundle["record"]["cut"]["after"])
    dates, place = np.unique(production_days(seen.time[later], ctx.site), return_inverse=True)
    alarms = judged.alarms["acting"][later].astype(np.float64)
    count = np.bincount(place, minlength=len(dates))
    shares = np.bincount(place, weights=alarms, minlength=len(dates)) / np.maximum(count, 1)
    return [
        LiveDay(day, "alarm_rate", float(share), None, None, int(rows))
        for day, share, rows in zip(dates.tolist(), shares, count, strict=True)
    ]
