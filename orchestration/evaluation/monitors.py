"""What is asked of monitors: how soon they tell of faults put in, beside a Shewhart chart, and of what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from orchestration.evaluation.faults import HORIZON_DAYS, Fault
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation

LEAST_FAULTS = 5
NAMED_SHARE = 0.8
TOP = 3
# One alarm per operator and ten minutes over the whole plant (EEMUA 191), shared by the 48 solutions alike.
ALARMS_A_DAY = 24 * 6 / 48
_STEPS = 400
HORIZON_H = HORIZON_DAYS * 24.0


@dataclass(frozen=True)
class Told:
    """What became of a fault.

    Attributes:
        fault: the fault.
        delay_h: hours until the monitor told of it; the horizon where it did not.
        chart_delay_h: the same for the Shewhart chart.
        is_named: whether its characteristic was among the first reasons.
    """

    fault: Fault
    delay_h: float
    chart_delay_h: float
    is_named: bool


def delay_h(alarms: Any, alarms_without: Any, since_h: Any, horizon_h: float = HORIZON_H) -> tuple[float, Any]:
    """Hours from a fault to its first row in alarm that would not have been without it, and all such rows by time.

    Args:
        alarms: rows in alarm with the fault.
        alarms_without: the same rows without it.
        since_h: hours since it began, NaN for rows that it does not touch.
        horizon_h: hours after which it counts as not found; the delay where it is not.
    """
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(alarms & ~alarms_without & (since_h >= 0) & (since_h < horizon_h))
    rows = rows[np.argsort(since_h[rows], kind="stable")]
    return (float(since_h[rows[0]]) if len(rows) else horizon_h), rows


def limit_for(most: int, values: Any, count: Callable[[Any], int]) -> float:
    """The least limit at which a chart raises no more alarms than another.

    Args:
        most: alarms of the other.
        values: what the chart measures, NaN where nothing.
        count: number of alarms of rows that are beyond a limit (a mask).
    """
    steps = np.unique(np.nanquantile(values, np.linspace(1.0, 0.8, _STEPS)))[::-1]
    found = float(steps[0])
    for limit in steps:
        with np.errstate(invalid="ignore"):
            if count(values > limit) > most:
                break
        found = float(limit)
    return found


def judged(
    told: Sequence[Told], alarms_a_day: float, days: float, horizon_h: float = HORIZON_H, best: Any = None
) -> Evaluation:
    """Hold delays and reasons against the lines.

    Args:
        told: what became of each fault.
        alarms_a_day: alarms that the monitor raises where nothing was put in; the chart's limit lets it raise as many.
        days: later days without a fault over which they were counted.
        horizon_h: see `delay_h`.
        best: hours until the best chart finds each fault, where that is known, (2, faults): at as many alarms as are
            allowed, and as the monitor raises. It is told and eases no line.
    """
    if len(told) < LEAST_FAULTS:
        return Evaluation("not_run", f"{len(told)} faults could be put in, {LEAST_FAULTS} are needed")
    own, chart = (np.array([getattr(each, name) for each in told]) for name in ("delay_h", "chart_delay_h"))
    median, other = float(np.median(own)), float(np.median(chart))
    named = float(np.mean([each.is_named for each in told]))
    found = {name: int(np.count_nonzero(each < horizon_h)) for name, each in (("own", own), ("chart", chart))}
    half = f"half of {len(told)} faults told within {median:.1f} h"
    both = f"{found['own']} at all, {found['chart']} by the chart"
    quiet = f"{alarms_a_day:.2f} alarms a day without a fault"
    reasons = f"{named:.1%} of the faults named among the first {TOP} reasons"
    found_at_best, median_at_best = None, None
    if best is not None:
        found_at_best, median_at_best = float(np.mean(best[0] < horizon_h)), float(np.median(best[1]))
        half += f", by a chart that knew what was put in within {median_at_best:.1f} h"
        reasons += f", where a chart that knew what was put in would find {found_at_best:.1%}"
    lines = [
        Line(f"sooner than the Shewhart chart's {other:.1f} h", f"{half} ({both})", median < other),
        Line(f"at least {NAMED_SHARE:.0%}", reasons, named >= NAMED_SHARE),
        Line(f"at most {ALARMS_A_DAY:g}", quiet, alarms_a_day <= ALARMS_A_DAY),
    ]
    return verdict(
        lines,
        metric=f"median detection delay, h, within {horizon_h:g} h",
        value=median,
        baseline=other,
        threshold=other,
        figures={
            "faults": len(told),
            "sizes_sd": {
                "jump": sorted({abs(each.fault.shift) for each in told} - {0.0}),
                "drift_a_day": sorted({abs(each.fault.ramp) for each in told} - {0.0}),
            },
            "found": found["own"],
            "found_by_chart": found["chart"],
            "named": named,
            "found_at_best": found_at_best,
            "median_at_best_h": median_at_best,
            "named_of_found": named * len(told) / found["own"] if found["own"] else None,
            "alarms_a_day": alarms_a_day,
            "days_without_fault": days,
            "told": [asdict(each) for each in told],
        },
    )
