"""Pictures of the page: small PNG files, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from orchestration.benchmarks.outcome import Answers, Picture
from orchestration.benchmarks.spec import Benchmark, Measure

OURS, FLOOR, GREY = "#0b6e99", "#c8553d", "0.7"


def figure(rows: int = 1, width: float = 5.2, height: float = 3.4) -> tuple[Any, list[Any]]:
    """A figure with axes below each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height * rows), dpi=90)
    FigureCanvasAgg(drawn)
    return drawn, [drawn.add_subplot(rows, 1, place + 1) for place in range(rows)]


def save(drawn: Any, file: Path) -> None:
    """Write it; the file says nothing of the program that made it, so that equal pictures are equal files."""
    drawn.tight_layout()
    drawn.savefig(file, metadata={"Software": None})


def by_split(values: Sequence[float], measure: Measure, file: Path) -> None:
    """A figure of each split beside the floor and what must be reached."""
    drawn, (axis,) = figure()
    axis.scatter(range(len(values)), values, s=18, color=OURS, label="ours")
    axis.axhline(float(np.mean(values)), color=OURS, linewidth=1, label="ours, mean")
    if measure.floor is not None:
        axis.axhline(measure.floor, color=FLOOR, linewidth=1, linestyle="--", label=measure.floor_is)
    if isinstance(measure.must, float):
        axis.axhline(measure.must, color=GREY, linewidth=1, linestyle=":", label="must")
    axis.set_xticks(range(0, len(values), 5))
    axis.set_xlabel("split")
    axis.set_ylabel(measure.name)
    axis.legend(fontsize=7)
    save(drawn, file)


def of_answers(benchmark: Benchmark, answers: Mapping[str, Answers]) -> tuple[Picture, ...]:
    """Answers against the truth for each judged part of a number that was asked for; none for classes."""
    if benchmark.solution.get("task") not in ("regression", None):
        return ()
    unit = benchmark.solution["target"].get("unit", "")
    return tuple(
        Picture(
            part, f"answers against the truth with their intervals, {part}, first draw", partial(scatter, each, unit)
        )
        for part, each in answers.items()
    )


def scatter(answers: Answers, unit: str, file: Path) -> None:
    """Answers against the truth, with their intervals where there are any."""
    drawn, (axis,) = figure(height=4.0)
    ends = [float(min(answers.y.min(), answers.value.min())), float(max(answers.y.max(), answers.value.max()))]
    axis.plot(ends, ends, color=GREY, linewidth=1)
    if answers.low is not None and answers.high is not None:
        axis.vlines(answers.y, answers.low, answers.high, color=OURS, alpha=0.25, linewidth=1)
    axis.scatter(answers.y, answers.value, s=10, color=OURS)
    axis.set_xlabel(f"true {unit}")
    axis.set_ylabel(f"answered {unit}")
    save(drawn, file)
