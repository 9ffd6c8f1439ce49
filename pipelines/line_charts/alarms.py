"""Signals become alarms, and alarms become the few causes that people look at.

Limits follow from the alarm budget: how often all charts of a healthy line may speak in a day is shared among the
values that are charted in it. A chart that goes on signalling is one alarm. Alarms of one machine that follow each
other within a window are one group, and so are those of more machines than chance would let begin together; the first,
and of several at once the one furthest upstream, comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipelines.charts.constants import LIMIT_SIGMAS
from pipelines.charts.kernel import Charts, signals
from pipelines.charts.rules import DEFAULT, RULES, mask_of, names_of
from pipelines.charts.run_length import ewma_arl, ewma_limit, shewhart_arl, shewhart_limit
from pipelines.line_charts.minutes import MINUTE, Minutes, Point
from pipelines.line_charts.phase_one import PhaseOne, Track

EWMA_WEIGHT = 0.1
_BY_CHANCE = 1e-4
_POINTS_AT_ONCE = 250  # whose minutes of a month are some ten million values
_EWMA_SIGMAS = 2.7  # with which an EWMA of this weight speaks as seldom as 3 sigma do; domain table of run lengths
OPERATOR_WINDOWS_PER_DAY = 144
"""Windows of ten minutes: ISA-18.2 counts alarms of an operator in them."""


@dataclass(frozen=True)
class Alarm:
    """A chart that begins to signal.

    Attributes:
        at: end of the batch that signals first, minutes from the beginning.
        place: of the point. rules: that signal.
        size_min: minutes of its batches.
    """

    at: int
    place: int
    rules: tuple[str, ...]
    size_min: int


@dataclass(frozen=True)
class Group:
    """Alarms of one cause.

    Attributes:
        first: the alarm to look at first, and its point.
        alarms: all of them. machines: that they are of.
    """

    first: Alarm
    point: Point
    alarms: int
    machines: tuple[str, ...]


@dataclass(frozen=True)
class Budget:
    """How often charts may speak.

    Attributes:
        groups_per_day: of a healthy line, at most.
        window_min: alarms of one machine within it are of one cause; those of several that begin within it may be.
    """

    groups_per_day: float
    window_min: int = 60

    @property
    def common(self) -> int:
        """Machines that begin together and are too many for chance: once in ten thousand windows, by the budget."""
        from scipy.stats import poisson

        return int(poisson.isf(_BY_CHANCE, self.groups_per_day * self.window_min / 1440)) + 1


def limits_for(phase: PhaseOne, budget: Budget) -> Charts:
    """Limits of single points and of the EWMA, never narrower than the usual ones, that keep the budget.

    Both charts speak equally often; either is set so that all of them together speak as often as the budget says.
    """
    arl = 2 * phase.batches_per_day / budget.groups_per_day
    usual = ewma_arl(0.0, EWMA_WEIGHT, _EWMA_SIGMAS)
    return Charts(
        centre=0.0,
        sigma=1.0,
        rules=DEFAULT,
        limit_sigmas=shewhart_limit(arl) if arl > shewhart_arl(0.0) else LIMIT_SIGMAS,
        ewma_weight=EWMA_WEIGHT,
        ewma_sigmas=ewma_limit(arl, EWMA_WEIGHT) if arl > usual else _EWMA_SIGMAS,
    )


def alarms_of(phase: PhaseOne, limits: Charts, since_min: int, n_threads: int = 1) -> list[Alarm]:
    """Charts that begin to signal after the reference.

    Args:
        phase: how points are charted.
        limits: of all charts, in sigmas.
        since_min: where the reference ends, minutes.
        n_threads: threads.
    """
    return sorted(
        (alarm for track in phase.tracks for alarm in _of_track(track, limits, since_min, n_threads)),
        key=lambda each: (each.at, each.place),
    )


def _of_track(track: Track, limits: Charts, since_min: int, n_threads: int) -> list[Alarm]:
    rows, batches = track.values.shape
    charts = Charts(
        track.centre, track.sigma, limits.rules, limits.limit_sigmas, limits.ewma_weight, limits.ewma_sigmas
    )
    found = signals(track.values.ravel(), np.arange(rows + 1) * batches, charts, n_threads=n_threads)
    row, batch = np.divmod(found.point, batches)
    # A value that is missing neither signals nor ends what signals: the value before is the last one that is there.
    number = np.cumsum(np.isfinite(track.values), axis=1, dtype=np.int32)[row, batch]
    begins = (np.diff(row, prepend=-1) != 0) | (np.diff(number, prepend=-1) != 1)
    begins &= batch * track.size_min >= since_min
    return [
        Alarm(int((b + 1) * track.size_min), int(track.place[r]), tuple(names_of(int(bits))), track.size_min)
        for r, b, bits in zip(row[begins], batch[begins], found.bits[begins], strict=True)
    ]


def groups_of(alarms: Sequence[Alarm], points: Sequence[Point], budget: Budget) -> list[Group]:
    """Alarms by cause, in the order of time.

    Args:
        alarms: in the order of time.
        points: of the line.
        budget: its window, and how many machines are too many for chance.
    """
    joined = _by_machine(alarms, points, budget.window_min)
    groups: list[list[Alarm]] = []
    common = budget.common
    while joined:
        ends = joined[0][0].at + budget.window_min
        near = next((place for place, each in enumerate(joined) if each[0].at >= ends), len(joined))
        taken = near if near >= common else 1
        groups.append([alarm for each in joined[:taken] for alarm in each])
        joined = joined[taken:]
    return [_group(each, points) for each in groups]


def _by_machine(alarms: Sequence[Alarm], points: Sequence[Point], window_min: int) -> list[list[Alarm]]:
    """Alarms of one machine that follow each other within the window, by the time of the first."""
    open_now: dict[str, list[Alarm]] = {}
    made = []
    for alarm in alarms:
        machine = points[alarm.place].machine_id
        known = open_now.get(machine)
        if known is None or alarm.at >= known[-1].at + window_min:
            known = open_now[machine] = []
            made.append(known)
        known.append(alarm)
    return sorted(made, key=lambda each: each[0].at)


def _group(alarms: Sequence[Alarm], points: Sequence[Point]) -> Group:
    first = min(alarms, key=lambda each: (each.at - each.size_min, points[each.place].step_order, each.place))
    machines = dict.fromkeys([points[first.place].machine_id, *(points[each.place].machine_id for each in alarms)])
    return Group(first, points[first.place], len(alarms), tuple(machines))


def minute_signals(minutes: Minutes, phase: PhaseOne, reference_min: int, n_threads: int = 1) -> Mapping[str, int]:
    """How often each rule would signal on the minutes themselves: what charting tags as they are would bring.

    Every rule of `pipelines.charts.rules` over every value; centre and sigma are those of the reference's minutes.
    """
    every = mask_of(rule.name for rule in RULES)
    counts = np.zeros(len(RULES), dtype=np.int64)
    places = np.sort(np.concatenate([track.place for track in phase.tracks]))
    for part in np.array_split(places, max(1, len(places) // _POINTS_AT_ONCE)):
        values = np.ascontiguousarray(minutes.values[part])
        reference = values[:, :reference_min]
        charts = Charts(np.nanmean(reference, axis=1), np.nanstd(reference, axis=1, ddof=1), every)
        found = signals(values.ravel(), np.arange(len(part) + 1) * values.shape[1], charts, n_threads=n_threads)
        counts += [int(np.count_nonzero(found.bits & rule.bit)) for rule in RULES]
    return {rule.name: int(count) for rule, count in zip(RULES, counts, strict=True)}


def moment(begins_at: datetime, at_min: int) -> datetime:
    """The time of a minute."""
    return begins_at + at_min * MINUTE
