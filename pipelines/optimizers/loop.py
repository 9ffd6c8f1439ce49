"""The loop closed: a controller decides run by run, from what was known by then, over a plant or over a model of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from pipelines.optimizers.run_to_run import Advice, Guards, Law, Tuning, decide, learn
from pipelines.optimizers.runs import Feed, Floats, Ints, Moves, Runs

WEIGHTS = (0.005, 0.03, 0.2)
PRICES = ((0.1, False), (0.3, True), (1.0, True))  # of a move, in a run's variance, and whether a day is looked ahead
BLOCK = 15  # runs: twice as long as the offset is followed
SURE = 1.645

Answer = Callable[[int, float], tuple[float, float]]
"""Run and set-point -> measured and manipulated quantity, as the gauges show them."""


@dataclass(frozen=True)
class Deliveries:
    """Records of runs in the order in which they become known, shape (r,) each: a run may have none, or several.

    Attributes:
        run: which run. known_s: when it is known. factor: by which its measured quantity is off (a corrected record).
    """

    run: Ints
    known_s: Floats
    factor: Floats

    @classmethod
    def one_each(cls, runs: Runs) -> Deliveries:
        """Every run's record once and right."""
        order = np.argsort(runs.known_s, kind="stable")
        return cls(order, runs.known_s[order], np.ones(len(runs)))


@dataclass(frozen=True)
class Course:
    """What came of a closed loop.

    Attributes:
        runs: all runs, with what was measured and set in the loop.
        advice: what was said before each run from the first one on.
        moves: moves carried out.
    """

    runs: Runs
    advice: tuple[Advice, ...]
    moves: Moves


def close_loop(
    runs: Runs,
    feed: Feed,
    deliveries: Deliveries,
    first: int,
    controller: tuple[Law | None, Tuning, Guards],
    dead_time_s: float,
    answer: Answer,
) -> Course:
    """Let a controller set each run from `first` on; every move is carried out.

    Args:
        runs: times, items and set-points of all runs; measured and manipulated quantities count before `first` only.
        feed: what feeds the machine.
        deliveries: when records become known.
        first: number of the first run that is decided on.
        controller: model, tuning and guards; they stay as they are.
        dead_time_s: by how much earlier than its end a run is decided on.
        answer: the plant, or a model of it.
    """
    law, tuning, guards = controller
    measured, moved, setpoint = runs.measured.copy(), runs.moved.copy(), runs.setpoint.copy()
    newest = np.full(len(runs), -1)
    moves, said, read = Moves.none(), [], 0
    for run in range(first, len(runs)):
        now_s = float(runs.at_s[run]) - dead_time_s
        until = int(np.searchsorted(deliveries.known_s, now_s, side="right"))
        for record in range(read, until):
            newest[deliveries.run[record]] = record
        read = max(read, until)
        seen = np.flatnonzero(newest >= 0)
        records = newest[seen]
        known = Runs(
            runs.at_s[seen],
            deliveries.known_s[records],
            measured[seen] * deliveries.factor[records],
            moved[seen],
            setpoint[seen],
            runs.item[seen],
        )
        before = float(setpoint[run - 1]) if run else float(setpoint[0])
        advice = decide(law, tuning, guards, now_s, known, feed, moves, before)
        if advice.reason == "move":
            moves = moves.with_one(now_s, advice.proposed - before)
        said.append(advice)
        setpoint[run] = advice.proposed
        measured[run], moved[run] = answer(run, advice.proposed)
    return Course(replace(runs, measured=measured, moved=moved, setpoint=setpoint), tuple(said), moves)


def replayed(runs: Runs, law: Law) -> Answer:
    """Past runs as the model says they would have been with other set-points: the rest of each stays as it was."""

    def answer(run: int, setpoint: float) -> tuple[float, float]:
        shift = setpoint - runs.setpoint[run]
        return float(runs.measured[run] + law.gain * shift), float(runs.moved[run] + shift)

    return answer


@dataclass(frozen=True)
class Controller:
    """A model and the way to answer with it that served best in the past.

    Attributes:
        law: the model, with or without what is fed.
        tuning: how to answer.
        still: root mean square of measured quantity minus target over the past runs, as they were.
        deviation: the same as replayed.
        surety: mean of what the replay takes away from the squares, in its standard errors over blocks of runs.
    """

    law: Law
    tuning: Tuning
    still: float
    deviation: float
    surety: float

    @property
    def helps(self) -> bool:
        """Whether it would have brought the past nearer to the target, beyond chance (one-sided, 5 %)."""
        return self.surety > SURE


@dataclass(frozen=True)
class Way:
    """A way to answer: weight, price of a move in a run's variance, whether a day is looked ahead, and what is fed."""

    weight: float
    price: float
    looks_ahead: bool
    is_fed: bool

    def over(self, law: Law, target: float, drift_weight: float) -> tuple[Law, Tuning]:
        """Model and tuning of this way."""
        tuning = Tuning(
            target, self.weight, drift_weight, self.price * law.sigma**2, law.runs_a_day if self.looks_ahead else 1
        )
        return (law if self.is_fed else law.without_feed()), tuning


def fit(
    runs: Runs,
    feed: Feed,
    guards: Guards,
    target: float,
    *,
    dead_time_s: float,
    drift_weight: float = 0.0,
    given_gain: float | None = None,
) -> Controller | None:
    """Learn the model, and choose weight, price of a move and whether to look at what is fed, by replaying the past.

    Each half of the past is replayed by the model that was learnt from the other half.

    Args:
        runs: past runs of a machine.
        feed: what they were made of.
        guards: what no move may cross; they decide how much quickness is worth.
        target: wanted value.
        dead_time_s: by how much earlier than its end a run is decided on.
        drift_weight: see `Tuning`.
        given_gain: see `learn`.

    Returns:
        The controller of least deviation, its model learnt from the whole past; None where there are too few runs.
    """
    runs = runs.take(np.isfinite(runs.measured) & np.isfinite(runs.moved))
    halves = np.array_split(np.arange(len(runs)), 2)
    first, second, law = (
        learn(runs.take(rows), feed, given_gain=given_gain, dead_time_s=dead_time_s)
        for rows in (*halves, np.arange(len(runs)))
    )
    if first is None or second is None or law is None:
        return None
    best, least = None, np.full(len(runs), np.inf)
    for weight, (price, looks_ahead), is_fed in product(
        WEIGHTS, PRICES, (False, True) if len(law.feed_gain) else (False,)
    ):
        way = Way(weight, price, looks_ahead, is_fed)
        squares = np.concatenate(
            [
                _squares(runs.take(rows), feed, (*way.over(other, target, drift_weight), guards), dead_time_s)
                for rows, other in zip(halves, (second, first), strict=True)
            ]
        )
        if best is None or squares.mean() < least.mean():
            best, least = way, squares
    if best is None:
        return None
    still = (runs.measured - target) ** 2
    return Controller(
        *best.over(law, target, drift_weight), float(np.sqrt(still.mean())), float(np.sqrt(least.mean())),
        _surety(still - least),
    )  # fmt: skip


def replay(runs: Runs, feed: Feed, controller: tuple[Law, Tuning, Guards], dead_time_s: float) -> Course:
    """Past runs as they would have been by the model, had the controller set each but the first."""
    return close_loop(runs, feed, Deliveries.one_each(runs), 1, controller, dead_time_s, replayed(runs, controller[0]))


def _squares(runs: Runs, feed: Feed, controller: tuple[Law, Tuning, Guards], dead_time_s: float) -> Floats:
    """Squared deviations from target of past runs as replayed."""
    course = replay(runs, feed, controller, dead_time_s)
    squares: Floats = (course.runs.measured - controller[1].target) ** 2
    return squares


def _surety(gained: Floats) -> float:
    """Mean in standard errors; neighbouring runs share a set-point, so blocks of them are what is independent."""
    means = np.array([block.mean() for block in np.array_split(gained, max(2, len(gained) // BLOCK))])
    error = float(means.std(ddof=1) / np.sqrt(len(means)))
    return float(gained.mean()) / error if error else 0.0
