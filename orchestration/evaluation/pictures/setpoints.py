"""Set-points that are searched: where each stands, where it is to go, and what that brings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from models.context import ModelContext
from models.optimizer.expected_value_spec import ExpectedValue
from models.optimizer.reading import each, floats
from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec
from orchestration.evaluation.pictures.canvas import BLUE, GREEN, GREY, RED, legend, sheet, words
from orchestration.evaluation.pictures.tables import further


def draw_profile(spec: OptimizerSpec, ctx: ModelContext) -> Any | None:
    """A machine's profile as expected without and with the moves, over the moves of its actuators."""
    moves = further(spec, ctx, "move", f'ORDER BY "{spec.keys[0]}"')
    if moves is None:
        return None
    found = list(each(moves, "characteristic_code"))
    figure, axes = sheet(f"{spec.solution}: the next run", 2, len(found), height=4.8)
    for column, (name, own) in enumerate(found):
        place = np.arange(1, len(own) + 1)
        above, below = axes[:, column]
        before, after = floats(own, "expected_pct"), floats(own, "after_pct")
        above.axhline(0, color="0.3", linewidth=0.9, linestyle="--")
        above.plot(place, before, color=GREY, marker=".", linewidth=1.2, label=f"as it stands, {before.std():.3f} %")
        above.plot(place, after, color=BLUE, marker=".", linewidth=1.2, label=f"with the moves, {after.std():.3f} %")
        above.set_title(words(name.removesuffix(f"_{_by(spec)}")), fontsize=9)
        above.margins(y=0.3)
        legend(above, loc="upper left")
        current, proposed = floats(own, "current_value"), floats(own, "proposed_value")
        below.bar(place, current, 0.8, color=GREY, label="in force")
        below.bar(place, proposed - current, 0.4, bottom=current, color=RED, label="advised move")
        below.axhline(0, color="0.3", linewidth=0.6)
        below.set_xlabel("position across the web")
        below.margins(y=0.4)
        legend(below, loc="upper left", ncols=2)
    axes[0, 0].set_ylabel("deviation of the coat, %")
    axes[1, 0].set_ylabel(words(_by(spec)))
    return figure


def _by(spec: OptimizerSpec) -> str:
    return str(getattr(spec.optimizer, "by", ""))


def draw_moves(spec: OptimizerSpec, kind: SetpointSearch | ExpectedValue, ctx: ModelContext) -> Any | None:
    """Where each machine's set-point lies between its limits, and the cost before, after and at best."""
    answers, moves = further(spec, ctx), further(spec, ctx, "move")
    if answers is None or moves is None:
        return None
    rows = answers.join(moves.drop_columns(["predicted_at", "model_version", "lake_snapshot", "scored_at"]), spec.keys)
    rows = rows.filter(pc.is_valid(rows["characteristic_code"])).sort_by(spec.keys[0])
    if not rows.num_rows:
        return None
    place = np.arange(len(rows))
    names = [
        f"{row[spec.keys[0]]}\n{words(row['characteristic_code'])}"
        for row in rows.select([spec.keys[0], "characteristic_code"]).to_pylist()
    ]
    figure, axes = sheet(spec.solution, 1, 2, height=1.5 + 0.75 * len(rows))
    left, right = axes[0]
    low, high, now, then = (floats(rows, name) for name in ("low", "high", "current_value", "proposed_value"))
    left.hlines(place, low, high, color=GREY, linewidth=5, alpha=0.4, label="limits of the plan")
    left.plot(now, place, "o", color=GREY, label="in force")
    left.plot(then, place, "o", color=RED, label="advised")
    left.set_yticks(place, names, fontsize=7)
    width, costs = 0.25, (("cost", "in force", GREY), ("cost_after", "advised", RED), ("cost_best", "cheapest", GREEN))
    for step, (column, told, colour) in enumerate(costs):
        right.barh(place + (step - 1) * width, floats(rows, column), width, color=colour, label=told)
    lowest = min(float(np.nanmin(floats(rows, column))) for column, _, _ in costs)
    highest = float(np.nanmax(floats(rows, "cost")))
    right.set_xlim(
        lowest - max(highest - lowest, 0.01 * highest), highest + 0.2 * max(highest - lowest, 0.01 * highest)
    )
    right.set_yticks([])
    is_money = isinstance(kind, ExpectedValue)
    right.set_xlabel("US$ an item, of set-points and misses" if is_money else "cost beside the recipe's")
    for axis in (left, right):
        axis.invert_yaxis()
        axis.set_ylim(len(rows) - 0.4, -0.9)
        legend(axis, ncols=3, loc="upper left")
    return figure
