"""Judging a detector: all gates on rows that neither it nor the champion has learnt from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from models.anomaly_detector.evaluate import Evaluation, Told, at_budget, evaluate, rate_interval
from models.anomaly_detector.ground import Rows, read_events, read_rows
from models.anomaly_detector.runtime import Array, Scorer
from models.anomaly_detector.spec import AnomalySpec
from models.anomaly_detector.train import TrainedDetector
from models.context import ModelContext
from models.evaluation.bootstrap import paired_mean
from models.gates.checks import champion_gate, inputs_gate
from models.gates.record import record
from models.gates.verdict import Gate, Status, Verdict
from models.registry.client import open_client
from models.registry.versions import Version, get_version, rival
from models.spec import Gates
from pipelines.control_plan.errors import CellworksError

_DAY_S = 86_400.0
_CHANCE = 0.03  # share of the faults put in by which two alike detectors differ by luck


def load(version: Version, n_threads: int) -> Scorer:
    """The detector of a version."""
    return Scorer.load(version.bundle, n_threads)


def cut_s(scorer: Scorer) -> float:
    """Second until which a version has learnt."""
    return float(scorer.bundle["record"]["cut_s"])


def judge(spec: AnomalySpec, ctx: ModelContext, challenger: TrainedDetector | str) -> Verdict:
    """Judge a version and write the sealed verdict on it.

    Args:
        spec: the solution with its gates.
        ctx: snapshot, moment and registry.
        challenger: what `train` returned, or a version's number (its rows are read again at the context's snapshot).

    Raises:
        CellworksError: no such version, or it is the champion itself.
    """
    client = open_client(ctx)
    trained = challenger if isinstance(challenger, TrainedDetector) else None
    version = trained.registered if trained else get_version(client, spec.name, str(challenger), ctx.home)
    own = trained.scorer if trained else load(version, ctx.n_threads)
    acting = rival(ctx.home, version, client, audited=ctx.is_guarded)
    other = load(acting, ctx.n_threads) if acting else None
    rows, other = _ground(spec, ctx, trained, own, other)
    later_s = max(cut_s(each) for each in (own, other) if each is not None)
    enough = _holdout_gate(spec, rows, later_s)
    number = acting.number if acting else None
    if not enough.passed:
        verdict = Verdict(spec.name, version.number, "insufficient", [enough], number, False, enough.figures["rows"])
    else:
        verdict = _full(spec, ctx, (rows, later_s), version, (own, other, number), enough)
    cutoffs = {version.number: {"cut_s": cut_s(own)}}
    if other is not None and number is not None:
        cutoffs[number] = {"cut_s": cut_s(other)}
    return record(client, spec, ctx, version, replace(verdict, cutoffs=cutoffs))


def _ground(
    spec: AnomalySpec, ctx: ModelContext, trained: TrainedDetector | None, own: Scorer, other: Scorer | None
) -> tuple[Rows, Scorer | None]:
    """Rows with every number that the versions watch; a champion that lost a column is compared with no more."""
    own_columns = list(own.bundle["record"]["columns"])
    needed = list(dict.fromkeys([*own_columns, *(other.bundle["record"]["columns"] if other else [])]))
    if trained is not None and set(needed) <= set(trained.rows.columns):
        return trained.rows, other
    try:
        return read_rows(spec, ctx, columns=needed), other
    except CellworksError:
        if other is None:
            raise
        return trained.rows if trained is not None else read_rows(spec, ctx, columns=own_columns), None


def _holdout_gate(spec: AnomalySpec, rows: Rows, later_s: float) -> Gate:
    """Whether the later part can tell at all."""
    count = int(np.count_nonzero(rows.time_s >= later_s))
    days = (float(rows.time_s.max()) - later_s) / _DAY_S
    asked = spec.gates
    short = [f"{count} rows of {asked.min_holdout_rows}"] if count < asked.min_holdout_rows else []
    if days < asked.min_holdout_days:
        short.append(f"{days:.1f} days of {asked.min_holdout_days:g}")
    sentence = f"the hold-out is too small: {', '.join(short)}" if short else f"the hold-out has {count} rows"
    return Gate("holdout", not short, sentence, {"rows": count, "days": days})


def _full(
    spec: AnomalySpec,
    ctx: ModelContext,
    ground: tuple[Rows, float],
    version: Version,
    versus: tuple[Scorer, Scorer | None, str | None],
    enough: Gate,
) -> Verdict:
    """Every gate on a later part that is large enough."""
    rows, later_s = ground
    own, other, number = versus
    events = read_events(spec, ctx)
    found = evaluate(spec, rows, own, later_s, events)
    against, is_better = Gate("not_worse", True, "there is no champion: the Shewhart chart decides"), False
    if other is not None:
        against, is_better = _champion_gate(spec, ground, (own, other), str(number))
    gates = [
        enough,
        _rate_gate(spec, found),
        _baseline_gate(spec, found),
        *([_events_gate(found)] if spec.events is not None else []),
        against,
        _speed_gate(spec, found),
        inputs_gate(version.tags),
    ]
    status: Status = "passed" if all(gate.passed for gate in gates) else "failed"
    return Verdict(spec.name, version.number, status, gates, number, is_better, found.rows)


def _rate_gate(spec: AnomalySpec, found: Evaluation) -> Gate:
    """Alarms within the budget, as far as the later part can tell; true failures among them count as well."""
    rate = rate_interval(found.alarms, found.weeks)
    figures = {"alarms": found.alarms, "per_week": rate.value, "low": rate.low, "high": rate.high}
    sentence = (
        f"{rate.value:.3g} alarms a week (95 % {rate.low:.3g} to {rate.high:.3g}), budget {spec.alarms.per_week:g}"
    )
    return Gate("alarm_rate", rate.low <= spec.alarms.per_week, sentence, figures)


def _baseline_gate(spec: AnomalySpec, found: Evaluation) -> Gate:
    """Finds what is put in sooner than a Shewhart chart that alarms as often, or, of single rows, no less of it."""
    gain = paired_mean(found.loss, found.shewhart_loss, np.arange(len(found.loss)), spec.seed)
    low, high = gain.interval
    own, chart = float(np.mean(found.loss < 1)), found.shewhart_found
    figures = {"found": own, "shewhart_found": chart, "gain": gain.mean, "low": low, "high": high}
    if spec.series is None and spec.streams is None:
        passed = gain.mean >= -_CHANCE
        sentence = f"finds {own:.3f} of the faults put in, a Shewhart chart {chart:.3f}"
        return Gate("beats_baseline", passed, sentence, figures)
    sentence = (
        f"a fault has passed by {np.mean(found.loss):.3f} of its stay when it is found, "
        f"with a Shewhart chart by {np.mean(found.shewhart_loss):.3f} (gain 95 % {low:.3g} to {high:.3g})"
    )
    return Gate("beats_baseline", gain.mean > 0, sentence, figures)


def _passed_share(told: list[Told]) -> Array:
    return np.asarray([1.0 if each.share is None else each.share for each in told])


def _events_gate(found: Evaluation) -> Gate:
    """Known events are told no later than by a Shewhart chart; none in the later part say nothing."""
    if not found.events:
        return Gate("events", True, "no known event lies in the later part")
    own, chart = _passed_share(found.events), _passed_share(found.shewhart_events)
    figures: dict[str, Any] = {
        "events": len(own),
        "found": int(np.count_nonzero(own < 1)),
        "shewhart_found": int(np.count_nonzero(chart < 1)),
        "median_share": float(np.median(own)),
        "shewhart_median_share": float(np.median(chart)),
        "false_alarms": found.false_alarms,
    }
    sentence = (
        f"{figures['found']} of {len(own)} events told, half before {figures['median_share']:.2f} of their time; "
        f"by a Shewhart chart {figures['shewhart_found']}, before {figures['shewhart_median_share']:.2f}"
    )
    return Gate("events", figures["median_share"] <= figures["shewhart_median_share"], sentence, figures)


def _champion_gate(
    spec: AnomalySpec, ground: tuple[Rows, float], versus: tuple[Scorer, Scorer], number: str
) -> tuple[Gate, bool]:
    """Finds no less, no later, of the same faults than the champion would with as many alarms."""
    rows, later_s = ground
    own, other = (evaluate(spec, rows, at_budget(spec, rows, each, later_s), later_s, []).loss for each in versus)
    gain = paired_mean(own, other, np.arange(len(own)), spec.seed)
    margins = Gates(not_worse_margin=spec.gates.not_worse_margin, horizon_nights=spec.gates.horizon_nights)
    return champion_gate(gain, margins, number)


def _speed_gate(spec: AnomalySpec, found: Evaluation) -> Gate:
    """Scores within its time limit; small hold-outs are charged as 1,000 rows."""
    each = found.seconds * 1000 / max(found.rows, 1000)
    limit = spec.gates.max_seconds_per_1000_rows
    figures = {"seconds": each, "limit": limit}
    return Gate("speed", each <= limit, f"{each:.4f} s per 1,000 rows, allowed {limit} s", figures)
