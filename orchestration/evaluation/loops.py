"""What closed loops of set-points have in common when judged: the interval of the gain, and what was crossed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation


class Loop(Protocol):
    """The two arms of one plant: its seed, moves carried out, and how often each reason was told."""

    seed: int
    moves: int
    crossed: list[str]
    reasons: dict[str, int]


def judged(
    ground: Ground,
    arms: Sequence[Loop],
    saved: Sequence[float],
    told: Callable[[str], str],
    *,
    of: tuple[str, str],
    crossed: Sequence[str],
    days: Mapping[str, int],
    figures: Mapping[str, Any],
) -> Evaluation:
    """Hold plants against the lines of optimisers: the interval above zero and nothing crossed.

    Args:
        ground: its seeds.
        arms: of each plant.
        saved: share that the moves saved in each plant.
        told: the sentence, given the gain with its interval in percent.
        of: what is measured, and what was saved of it.
        crossed: over all plants, beside what each plant tells.
        days: learnt from, moved and learnt anew every.
        figures: further ones.
    """
    gain = over_draws(saved, "plants")
    low, high = cast("float", gain.low), cast("float", gain.high)
    every = [f"plant {one.seed}: {text}" for one in arms for text in one.crossed] + list(crossed)
    sentence = told(f"{gain.value:.2%} [{low:.2%}, {high:.2%}]")
    return Evaluation(
        "working" if low > 0 and not every else "failing",
        f"{sentence}; crossed: {every[0]}" if every else sentence,
        metric=of[0],
        value=1 - gain.value,
        baseline=1.0,
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": f"share of {of[1]} saved, Student's t over plants",
            "seeds": list(ground.seeds),
            "gain_by_seed": list(saved),
            "days": dict(days),
            "moves_a_day": float(np.mean([one.moves for one in arms])) / days["moved"],
            **figures,
            "told": dict(sum((Counter(one.reasons) for one in arms), Counter[str]())),
            "crossed": every,
        },
    )
