"""Run-to-run control: the past of each machine as it was and as replayed with the controller, and the next move."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.context import ModelContext
from models.optimizer.reading import machines
from models.optimizer.run_to_run import Answer, advise, seconds
from models.optimizer.spec import OptimizerSpec, RunToRun
from orchestration.evaluation.pictures.canvas import BLUE, GREY, RED, by_date, legend, sheet, words
from pipelines.optimizers.loop import replay
from pipelines.optimizers.runs import Floats

_SMOOTHED = 25
"""Runs whose mean is drawn: a single one is mostly noise of the gauge and the run."""


def draw_runs(spec: OptimizerSpec, kind: RunToRun, ctx: ModelContext) -> Any | None:
    """Deviation from target above, set-point below, a column for each machine; None before any has run."""
    if ctx.as_of is None:
        return None
    found = [advise(kind, one, seconds(ctx.as_of)) for one in machines(spec, kind, ctx, ctx.as_of)]
    if not found:
        return None
    figure, axes = sheet(f"{spec.solution}: mean of {_SMOOTHED} runs", 2, len(found), height=5.0)
    for column, each in enumerate(found):
        _machine(axes[:, column], kind, each)
    return figure


def _machine(axes: Any, kind: RunToRun, each: Answer) -> None:
    machine, advice, controller = each.machine, each.advice, each.controller
    runs = machine.runs.take(np.isfinite(machine.runs.measured) & np.isfinite(machine.runs.moved))
    if len(runs) < _SMOOTHED:
        return
    moments = _moments(runs.at_s)
    above, below = axes
    above.plot(moments[_SMOOTHED - 1 :], _smooth(runs.measured), color=GREY, linewidth=1.2, label="as it was")
    below.step(moments, runs.setpoint, where="post", color=GREY, linewidth=1.2)
    title = machine.name
    if controller is not None:
        law = (controller.law, controller.tuning, machine.aim.guards)
        again = replay(runs, machine.feed, law, kind.dead_time_s).runs
        above.plot(
            moments[_SMOOTHED - 1 :],
            _smooth(again.measured),
            color=BLUE,
            linewidth=1.2,
            label="as replayed with the moves",
        )
        below.step(moments, again.setpoint, where="post", color=BLUE, linewidth=1.0)
        title += f": root mean square {controller.still:.3g}, replayed {controller.deviation:.3g}"
    above.axhline(machine.aim.target, color="0.3", linewidth=0.9, linestyle="--", label="target")
    above.set_title(title, fontsize=8)
    above.set_ylabel(f"{words(kind.hold)}")
    above.margins(y=0.25)
    legend(above, loc="upper left")
    next_at = moments[-1] + (moments[-1] - moments[0]) // 50
    if advice.reason == "move":
        below.annotate(
            "", (next_at, advice.proposed), (next_at, advice.setpoint), arrowprops={"arrowstyle": "->", "color": RED}
        )
    below.plot([next_at], [advice.proposed], "o", color=RED, markersize=4)
    said = f"{advice.setpoint:g} to {advice.proposed:g}" if advice.reason == "move" else words(advice.reason)
    below.set_title(f"next run: {said}", fontsize=8, color=RED)
    below.set_ylabel(words(kind.by))
    for axis in axes:
        by_date(axis)


def _moments(at_s: Floats) -> Any:
    return (at_s * 1000).astype("datetime64[ms]")


def _smooth(values: Floats) -> Floats:
    """Mean of each run and those before it, from the first that has enough of them."""
    found: Floats = np.convolve(values, np.full(_SMOOTHED, 1 / _SMOOTHED), mode="valid")
    return found
