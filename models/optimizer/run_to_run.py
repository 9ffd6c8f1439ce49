"""Run-to-run control as answers: for each machine the set-point of its next run, why, and what it is based on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.optimizer.reading import Machine, machines
from models.optimizer.spec import OptimizerSpec, RunToRun
from models.scoring.rule import RuleAnswers
from pipelines.optimizers.loop import Controller, fit
from pipelines.optimizers.run_to_run import HOUR_S, Advice, Tuning, decide

_SAID = {
    "move": "move it",
    "on_target": "the next run is expected close enough to its target",
    "at_limit": "its limit or resolution leaves no move",
    "later": "a move brings more later: what is fed changes",
    "wait": "it was moved as often as is allowed",
    "stale": "nothing measured lately",
    "unstable": "the newest run is far from what was expected",
    "stuck": "the gauge shows the same value again and again",
    "gain_unknown": "what a move brings is not known well enough",
    "setpoint_unknown": "the line does not stand where it was set",
    "no_benefit": "moves would not have brought past runs nearer to the target",
}


@dataclass(frozen=True)
class Answer:
    """A machine, the controller that was fitted to its past (None: too few runs), and the advice."""

    machine: Machine
    controller: Controller | None
    advice: Advice


def answer(spec: OptimizerSpec, kind: RunToRun, ctx: ModelContext, now: datetime) -> RuleAnswers | None:
    """The advice for each machine at the plant's now; None before any has run."""
    found = [advise(kind, machine, seconds(now)) for machine in machines(spec, kind, ctx, now)]
    return _told(spec, found, now) if found else None


def advise(kind: RunToRun, machine: Machine, now_s: float) -> Answer:
    """The advice for one machine, by a controller that is fitted to its past."""
    aim = machine.aim
    controller = fit(
        machine.runs,
        machine.feed,
        aim.guards,
        aim.target,
        dead_time_s=kind.dead_time_s,
        drift_weight=kind.drift_weight,
        given_gain=kind.gain.value if kind.gain else None,
    )
    law, tuning = (controller.law, controller.tuning) if controller else (None, Tuning(aim.target, 1.0))
    advice = decide(law, tuning, aim.guards, now_s, machine.runs, machine.feed, machine.moves, machine.setpoint)
    if controller is not None and not controller.helps and advice.reason == "move":
        advice = replace(advice, proposed=advice.setpoint, reason="no_benefit")
    return Answer(machine, controller, advice)


def _told(spec: OptimizerSpec, found: list[Answer], now: datetime) -> RuleAnswers:
    names = [each.machine.keys for each in found]
    keys = {key: pa.chunked_array([pa.array([one[key] for one in names])]) for key in spec.keys}
    at_s = np.array([each.machine.runs.at_s[-1] for each in found])
    return RuleAnswers(
        keys=keys,
        event_at=pa.array(np.round(at_s * 1e6).astype(np.int64), pa.timestamp("us")),
        answers={
            "value": [number(each.advice.proposed) for each in found],
            "low": [each.machine.aim.guards.low for each in found],
            "high": [each.machine.aim.guards.high for each in found],
            "class": [each.advice.reason for each in found],
            "is_flagged": [each.advice.reason == "move" for each in found],
            "reasons": [_reasons(each) for each in found],
        },
        checks=checks(found, seconds(now)),
        further={"move": _moves(keys, found)},
    )


def seconds(moment: datetime) -> float:
    """Seconds since 1970 of a naive UTC moment, as `epoch` of the lake gives them."""
    return moment.replace(tzinfo=UTC).timestamp()


def number(value: float) -> float | None:
    """A number for a table; None where there is none."""
    return float(value) if np.isfinite(value) else None


def _reasons(each: Answer) -> str:
    """What the advice rests on, as rules tell it: figure, value, and what is to be known of it."""
    aim, advice = each.machine.aim, each.advice
    parts = [
        {
            "feature": aim.held.code,
            "value": number(round(advice.expected, 6)),
            "limit": f"expected of the next run; target {aim.target:g}",
        },
        {"feature": aim.moved.code, "value": number(advice.setpoint), "limit": f"in force; {_SAID[advice.reason]}"},
    ]
    return json.dumps(parts)


def _moves(keys: dict[str, pa.ChunkedArray], found: list[Answer]) -> pa.Table:
    """What an action needs to know of each answer, and the figures behind it."""
    laws = [each.controller.law if each.controller else None for each in found]
    numbers = {
        "current_value": [each.advice.setpoint for each in found],
        "proposed_value": [each.advice.proposed for each in found],
        "priority": [_priority(each) for each in found],
        "target_value": [each.machine.aim.target for each in found],
        "expected_value": [each.advice.expected for each in found],
        "wanted_value": [each.advice.wanted for each in found],
        "offset_value": [each.advice.offset for each in found],
        "gain": [law.gain if law else np.nan for law in laws],
        "gain_low": [law.gain_low if law else np.nan for law in laws],
        "gain_high": [law.gain_high if law else np.nan for law in laws],
        "weight": [each.controller.tuning.weight if each.controller else np.nan for each in found],
        "past_deviation": [each.controller.still if each.controller else np.nan for each in found],
        "replayed_deviation": [each.controller.deviation if each.controller else np.nan for each in found],
    }
    return pa.table(
        {
            **keys,
            "characteristic_code": pa.array([each.machine.aim.moved.code for each in found]),
            **{name: pa.array([number(value) for value in values], pa.float64()) for name, values in numbers.items()},
        }
    )


def _priority(each: Answer) -> float:
    """Expected deviation as a share of half the tolerance: comparable between quantities."""
    held = each.machine.aim.held
    if held.lsl is None or held.usl is None or not np.isfinite(each.advice.expected):
        return 0.0
    return float(abs(each.advice.expected - each.machine.aim.target) / ((held.usl - held.lsl) / 2))


def checks(found: list[Answer], now_s: float) -> dict[str, tuple[bool, str]]:
    """What is to be known of the advice before anybody follows it."""
    outside = [each for each in found if not _is_inside(each)]
    fast = [each for each in found if not _is_slow_enough(each, now_s)]
    unknown = ("gain_unknown", "setpoint_unknown")
    return {
        "within_limits": (not outside, _named("proposed outside the limits: ", outside)),
        "within_rate": (not fast, _named("moved further than is allowed: ", fast)),
        "fresh": _no_reason(found, "nothing measured lately: ", "stale"),
        "steady": _no_reason(found, "newest run far off, or the gauge stuck: ", "unstable", "stuck"),
        "gain_known": _no_reason(found, "gain or set-point not known well enough: ", *unknown),
    }


def _is_inside(each: Answer) -> bool:
    advice, guards = each.advice, each.machine.aim.guards
    return advice.reason != "move" or guards.low <= advice.proposed <= guards.high


def _is_slow_enough(each: Answer, now_s: float) -> bool:
    guards, moves = each.machine.aim.guards, each.machine.moves
    size = abs(each.advice.proposed - each.advice.setpoint) if each.advice.reason == "move" else 0.0
    spent = float(np.abs(moves.size[moves.at_s > now_s - HOUR_S]).sum())
    return size <= guards.step * (1 + 1e-9) and (size == 0 or size + spent <= guards.rate_per_h * (1 + 1e-9))


def _no_reason(found: list[Answer], what: str, *reasons: str) -> tuple[bool, str]:
    held = [each for each in found if each.advice.reason in reasons]
    return not held, _named(what, held)


def _named(what: str, found: list[Answer]) -> str:
    return what + ", ".join(each.machine.name for each in found) if found else ""
