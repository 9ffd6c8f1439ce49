"""How often a monitor alarms on good rows, what it finds of faulty ones, and how soon; beside a chart per variable."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from models.evaluation.bootstrap import Interval, metric_interval
from models.process_monitor.observations import Observations
from models.process_monitor.runtime import Array, Scorer, follow, groups_of
from models.process_monitor.spec import MonitorSpec

_SPANS = 20  # stretches of time that count as independent, for an interval
_SHORTEST = 10  # rows of one: neighbours are no independent evidence


@dataclass(frozen=True)
class Judged:
    """Alarms on the rows that a monitor has not learnt from.

    Attributes:
        good: Later rows of the reference period, or later rows known to be good (a mask over all rows).
        faulty: Rows known to be faulty (a mask; none where nobody tells).
        span: Number of the stretch of time of each row; rows of one are no independent evidence.
        alarms: Whether each row is in alarm, by statistic (`shewhart`: a chart per variable at the same rate).
        metrics: `false_alarm_rate`, and `detection_rate` where faults are told, with intervals over the spans.
        baselines: The primary metric of the chart per variable.
        seconds: Wall seconds to measure all rows.
        rows: Rows measured.
    """

    good: Array
    faulty: Array
    span: Array
    alarms: dict[str, Array]
    metrics: dict[str, Interval]
    baselines: dict[str, float]
    seconds: float
    rows: int


def spans(seen: Observations, group: str | None, good: Array, faulty: Array) -> Array:
    """Stretches of time within a group, broken where good rows turn faulty or back.

    They are so long that the good rows, or the faulty ones if these are fewer, make `_SPANS` of them.

    Args:
        seen: all rows.
        group: column of the group.
        good: rows known to be good.
        faulty: rows known to be faulty.
    """
    codes, _ = groups_of(seen.table, group)
    order, _ = follow(codes, seen.time, None)
    fewest = min(count for count in (int(good.sum()), int(faulty.sum()), len(order)) if count)
    size, mark = max(_SHORTEST, fewest // _SPANS), codes * 4 + good * 2 + faulty
    changes = np.ones(len(order), dtype=bool)
    changes[1:] = mark[order][1:] != mark[order][:-1]
    first = np.maximum.accumulate(np.where(changes, np.arange(len(order)), 0))
    out = np.empty(len(order), dtype=np.int64)
    out[order] = first * len(order) + (np.arange(len(order)) - first) // size
    return out


def judged_rows(seen: Observations, cuts: list[str]) -> tuple[Array, Array]:
    """Good rows and faulty rows that no version of these cuts has learnt from.

    Where nobody tells faults, only rows of the reference period are known to be good.
    """
    unseen = np.ones(len(seen.time), dtype=bool)
    for cut in cuts:
        unseen &= ~seen.is_reference | seen.is_later(cut)
    if seen.is_faulty is None:
        return seen.is_reference & unseen, np.zeros(len(unseen), dtype=bool)
    return unseen & ~seen.is_faulty, unseen & seen.is_faulty


def alarms_of(scorer: Scorer, seen: Observations) -> dict[str, Array]:
    """Rows in alarm by each statistic; the acting one is also called `acting`."""
    ratios = scorer.statistics(seen.table)
    out = {name: scorer.alarms(seen.table, values) for name, values in ratios.items()}
    return {**out, "acting": out[scorer.bundle["statistic"]]}


def rate(alarms: Array, chosen: Array, groups: Array, seed: int) -> Interval:
    """Share of the chosen rows that are in alarm, with its interval over groups; no rows give no figure."""
    if not chosen.any():
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    values = alarms[chosen].astype(np.float64)
    return metric_interval(lambda weight: float(values @ weight / weight.sum()), groups[chosen], seed)


def evaluate(spec: MonitorSpec, seen: Observations, scorer: Scorer, cuts: list[str]) -> Judged:
    """Judge a monitor on rows that it has not learnt from.

    Args:
        spec: the monitor.
        seen: all rows.
        scorer: the monitor.
        cuts: its cut, and that of what it is compared with.
    """
    good, faulty = judged_rows(seen, cuts)
    begun = time.perf_counter()
    alarms = alarms_of(scorer, seen)
    seconds = time.perf_counter() - begun
    span = spans(seen, spec.group, good, faulty)
    figures = {
        name: {
            "false_alarm_rate": rate(alarms[name], good, span, spec.seed),
            "detection_rate": rate(alarms[name], faulty, span, spec.seed),
        }
        for name in ("acting", "shewhart")
    }
    told = figures["acting"] if spec.fault else {"false_alarm_rate": figures["acting"]["false_alarm_rate"]}
    baselines = {"shewhart": figures["shewhart"][spec.primary_metric].value}
    return Judged(good, faulty, span, alarms, told, baselines, seconds, len(good))
