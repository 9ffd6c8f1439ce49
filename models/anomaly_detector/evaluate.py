"""How good a detector is on later rows: alarms a week, faults found, events told, each beside a Shewhart chart.

A Shewhart chart looks at each number by itself against a constant centre. It gets the same reference, the same blocks
and the same budget, so that both alarm as often.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import stats

from models.anomaly_detector.detector import alarms_of, look_back_s, score_from
from models.anomaly_detector.ground import Event, Rows
from models.anomaly_detector.learn_rows import put_faults_into, robust_scale
from models.anomaly_detector.limits import WEEK_S, block_maxima, chance_of_block, level
from models.anomaly_detector.runtime import FORMAT, Array, Scorer, numbers, standard
from models.anomaly_detector.spec import AnomalySpec
from models.evaluation.bootstrap import Interval

_FAULTS = 60  # put into a series, one at a time
_SIZES = (1.0, 2.0, 3.0)  # robust standard deviations of the number; a series that leans on its past hides less
_MOST_STAY_H = 24.0


@dataclass(frozen=True)
class Told:
    """What became of an event.

    Attributes:
        event: the event.
        share: how much of it had passed when the first of its rows was over the limit, in [0, 1]; None: none was.
        early_h: hours by which an alarm that was open already had been raised before it; None without one.
    """

    event: Event
    share: float | None
    early_h: float | None


@dataclass(frozen=True)
class Evaluation:
    """A detector on later rows.

    Attributes:
        alarms: number of alarms.
        weeks: length of the later part.
        loss: per fault put in, the share of its stay that passed before it was found (1: not found), (faults,).
        shewhart_loss: the same for a Shewhart chart.
        value: score over its limit of each row, before the later part NaN (rows,).
        events: what became of known events.
        shewhart_events: the same for a Shewhart chart.
        false_alarms: alarms raised outside of known events; None without events.
        seconds: to score the later rows.
        rows: later rows.
    """

    alarms: int
    weeks: float
    loss: Array
    shewhart_loss: Array
    value: Array
    events: list[Told]
    shewhart_events: list[Told]
    false_alarms: int | None
    seconds: float
    rows: int

    @property
    def metrics(self) -> dict[str, Interval]:
        """Figures with 95 % intervals: Wilson's for shares, Garwood's for the rate of alarms."""
        found = int(np.count_nonzero(self.loss < 1))
        return {
            "faults_found": share_interval(found, len(self.loss)),
            "alarms_per_week": rate_interval(self.alarms, self.weeks),
        }

    @property
    def shewhart_found(self) -> float:
        """Share of the faults that the Shewhart chart finds."""
        return float(np.mean(self.shewhart_loss < 1))


def share_interval(count: int, of: int) -> Interval:
    """A share with Wilson's interval."""
    low, high = stats.binomtest(count, of).proportion_ci(0.95, "wilson")
    return Interval(count / of, float(low), float(high), of)


def rate_interval(count: int, weeks: float) -> Interval:
    """Events a week with the exact Poisson interval (Garwood 1936)."""
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    return Interval(count / weeks, float(low) / weeks, float(stats.chi2.ppf(0.975, 2 * (count + 1))) / 2 / weeks, count)


def shewhart(spec: AnomalySpec, reference: Rows) -> Scorer:
    """A Shewhart chart of every number, learnt from the reference with the same budget; as rows, whatever the kind."""
    x = numbers(reference.table, reference.columns)
    scale = robust_scale(x)
    scale[scale == 0] = np.inf
    bundle: dict[str, Any] = {
        "format": FORMAT,
        "kind": "rows",
        "parts": [{"name": name, "variable": name} for name in reference.columns],
        "centre": np.nan_to_num(np.nanmedian(x, axis=0)).tolist(),
        "scale": scale.tolist(),
        "method": "largest",
        "state": {},
        "limit": 1.0,
    }
    score = Scorer(bundle).predict(reference.table)["value"]
    maxima = block_maxima(score, reference.time_s, reference.entity, spec.hold_off_s)
    chance = chance_of_block(spec.alarms.per_week, len(maxima), float(np.ptp(reference.time_s)))
    return Scorer(bundle | {"limit": level(maxima, chance)})


def at_budget(spec: AnomalySpec, rows: Rows, scorer: Scorer, cut_s: float) -> Scorer:
    """A detector with the limit that later rows themselves give, so that two of them alarm as often.

    Where the later rows are too few for a limit it keeps its own.
    """
    later = rows.time_s >= cut_s
    value = score_from(scorer, rows, cut_s)[later]
    maxima = block_maxima(value, rows.time_s[later], rows.entity[later], spec.hold_off_s)
    chance = chance_of_block(spec.alarms.per_week, len(maxima), float(np.ptp(rows.time_s[later])))
    factor = level(maxima, chance)
    return Scorer(scorer.bundle | {"limit": scorer.bundle["limit"] * factor}) if 0 < factor < np.inf else scorer


def evaluate(spec: AnomalySpec, rows: Rows, scorer: Scorer, cut_s: float, events: Sequence[Event]) -> Evaluation:
    """Judge a detector on later rows.

    Args:
        spec: the solution.
        rows: all rows; those before `cut_s` are the past of the first later ones, and the Shewhart chart's reference.
        scorer: the detector, learnt on rows before `cut_s`.
        cut_s: second at which the later part begins.
        events: what really happened.
    """
    chart = shewhart(spec, rows.part(rows.time_s < cut_s))
    begun = time.perf_counter()
    value = score_from(scorer, rows, cut_s)
    seconds = time.perf_counter() - begun
    plain = score_from(chart, rows, cut_s)
    begins, _ = alarms_of(spec, rows, value)
    put_in = _row_losses if spec.series is None and spec.streams is None else _series_losses
    loss, shewhart_loss = put_in(spec, rows, cut_s, (scorer, value), (chart, plain))
    later = [event for event in events if event.begin_s >= cut_s]
    told = [tell(spec, rows, value, event) for event in later]
    return Evaluation(
        alarms=int(begins.sum()),
        weeks=float(rows.time_s.max() - cut_s) / WEEK_S,
        loss=loss,
        shewhart_loss=shewhart_loss,
        value=value,
        events=told,
        shewhart_events=[tell(spec, rows, plain, event) for event in later],
        false_alarms=false_alarms(spec, rows, value, events) if spec.events is not None else None,
        seconds=seconds,
        rows=int(np.count_nonzero(rows.time_s >= cut_s)),
    )


def _inside(rows: Rows, event: Event) -> Array:
    within = (rows.time_s >= event.begin_s) & (rows.time_s <= event.end_s)
    if event.entity is None:
        return np.asarray(within)
    return np.asarray(within & (np.asarray(rows.table.column("entity").to_pylist(), dtype=object) == event.entity))


def tell(spec: AnomalySpec, rows: Rows, value: Array, event: Event) -> Told:
    """What became of an event: a row of it that is over the limit tells of it."""
    inside = _inside(rows, event)
    with np.errstate(invalid="ignore"):
        over = rows.time_s[inside & (value > 1)]
    if not len(over):
        return Told(event, None, None)
    share = float(over[0] - event.begin_s) / max(event.end_s - event.begin_s, 1e-9)
    begins, _ = alarms_of(spec, rows, value)
    entity = rows.entity[inside & (rows.time_s == over[0])][0]
    since = rows.time_s[begins & (rows.entity == entity) & (rows.time_s <= over[0])][-1]
    return Told(event, share, float(event.begin_s - since) / 3600 if since < event.begin_s else None)


def false_alarms(spec: AnomalySpec, rows: Rows, value: Array, events: Sequence[Event]) -> int:
    """Alarms that were raised outside of every event."""
    begins, _ = alarms_of(spec, rows, value)
    for event in events:
        begins = begins & ~_inside(rows, event)
    return int(begins.sum())


Judged = tuple[Scorer, Array]


def _row_losses(spec: AnomalySpec, rows: Rows, cut_s: float, *judged: Judged) -> tuple[Array, ...]:
    """Faults put into copies of later rows, as while learning; found or not."""
    reference = numbers(rows.table.filter(pa.array(rows.time_s < cut_s)), rows.columns)
    centre, scale = np.nan_to_num(np.nanmedian(reference, axis=0)), robust_scale(reference)
    scale[scale == 0] = 1.0
    later = numbers(rows.table.filter(pa.array(rows.time_s >= cut_s)), rows.columns)
    faulty = put_faults_into(standard(later, centre, scale), spec.seed) * scale + centre
    table = pa.table(dict(zip(rows.columns, faulty.T, strict=True)))
    return tuple((~(scorer.predict(table)["value"] > 1)).astype(float) for scorer, _ in judged)


def _series_losses(spec: AnomalySpec, rows: Rows, cut_s: float, *judged: Judged) -> tuple[Array, ...]:
    """Steps put into later stretches of what is followed, one at a time; how much of each had passed when it was found.

    A step moves one number of one entity by one to three of its robust standard deviations and stays for as long as the
    longest window. It is found by a row over the limit that would not have been over it without.
    """
    draw = np.random.default_rng(spec.seed)
    lasting = spec.series or spec.streams
    longest_h = max(lasting.windows_h, default=_MOST_STAY_H) if lasting else _MOST_STAY_H
    stay_s = min(longest_h, _MOST_STAY_H) * 3600.0
    back_s = max(look_back_s(scorer) for scorer, _ in judged)
    later = np.flatnonzero((rows.time_s >= cut_s) & (rows.time_s <= rows.time_s.max() - stay_s))
    losses = np.ones((len(judged), _FAULTS))
    for fault in range(_FAULTS if len(later) else 0):
        row = int(draw.choice(later))
        begin, column = float(rows.time_s[row]), str(draw.choice(rows.columns))
        size = float(draw.choice(_SIZES)) * float(draw.choice([-1.0, 1.0]))
        own = rows.entity == rows.entity[row]
        near = own if spec.streams is None else np.ones(len(own), dtype=bool)  # streams are judged beside the others
        near = near & (rows.time_s >= begin - back_s) & (rows.time_s <= begin + stay_s)
        mine = own & (rows.time_s < cut_s)
        table = rows.table.filter(pa.array(near))
        x, past = numbers(table, [column])[:, 0], numbers(rows.table.filter(pa.array(mine)), [column])
        when = rows.time_s[near]
        is_moved = own[near] & (when >= begin)
        moved = np.where(is_moved, x + size * robust_scale(past)[0], x) if len(past) else x
        place = table.schema.get_field_index(column)
        faulty = table.set_column(place, column, pa.array(moved))
        for number, (scorer, plain) in enumerate(judged):
            with np.errstate(invalid="ignore"):
                over = (scorer.predict(faulty)["value"] > 1) & ~(plain[near] > 1) & is_moved
            if over.any():
                losses[number, fault] = min(float(when[over][0] - begin) / stay_s, 0.999)
    return tuple(losses)
