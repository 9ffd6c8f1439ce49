"""A line's charts from the historian to the causes, with what each part of the work took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.charts.kernel import Charts
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.progress import Progress, silent
from pipelines.line_charts.alarms import (
    OPERATOR_WINDOWS_PER_DAY,
    Alarm,
    Budget,
    Group,
    alarms_of,
    groups_of,
    limits_for,
    minute_signals,
)
from pipelines.line_charts.minutes import Minutes, read_minutes
from pipelines.line_charts.phase_one import PhaseOne, learn

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.control_plan.site import Site

_MINUTES_A_DAY = 1440
SETTLE_MIN = 10
"""Minutes after a machine began to run that are left out."""


@dataclass(frozen=True)
class LineCharts:
    """What charting a line brought.

    Attributes:
        minutes: what was read.
        phase: how points are charted. limits: of all charts.
        reference_min: minutes of the reference; alarms are of what came after.
        minute_signals: of each rule on the minutes themselves.
        alarms: charts that began to signal. groups: their causes.
        seconds: reading, learning, minute_signals, alarms.
        operators: of a shift.
    """

    minutes: Minutes
    phase: PhaseOne
    limits: Charts
    reference_min: int
    minute_signals: Mapping[str, int]
    alarms: list[Alarm]
    groups: list[Group]
    seconds: Mapping[str, float]
    operators: int

    @property
    def days(self) -> float:
        """Watched, after the reference."""
        return float(self.minutes.values.shape[1] - self.reference_min) / _MINUTES_A_DAY

    @property
    def groups_per_operator_and_window(self) -> float:
        """Groups for each operator in ten minutes."""
        return len(self.groups) / (self.days * OPERATOR_WINDOWS_PER_DAY * self.operators)

    @property
    def begins_at(self) -> datetime:
        """Time of the first minute, UTC."""
        return self.minutes.begins_at


def chart_line(
    con: DuckDBPyConnection,
    site: Site,
    *,
    days: int,
    reference_days: int,
    budget_share: float,
    n_threads: int,
    tell: Progress = silent,
) -> LineCharts:
    """Chart every control point of the newest days.

    Args:
        con: at the snapshot to read.
        site: whose operators share the alarms.
        days: production days, the reference's among them.
        reference_days: first days, from which limits are learnt.
        budget_share: of one alarm per operator in ten minutes, what charts of a healthy line may take.
        n_threads: threads.
        tell: called with what is being done.

    Raises:
        CellworksError: no telemetry, or too few days of it.
    """
    seconds: dict[str, float] = {}
    clock = _Clock(seconds, tell)
    clock.begin("reading")
    orders = {step.code: step.order for step in site.steps}
    minutes = read_minutes(con, orders, days, SETTLE_MIN)
    reference_min = reference_days * _MINUTES_A_DAY
    if reference_min >= minutes.values.shape[1]:
        raise CellworksError(
            "the historian has too few days",
            expected=f"more than the {reference_days} of the reference",
            found=f"{minutes.values.shape[1] / _MINUTES_A_DAY:.1f} days",
            mend="give a shorter reference, or wait for more days",
        )
    clock.begin("learning")
    phase = learn(minutes.values, reference_min)
    clock.begin("minute_signals")
    by_rule = minute_signals(minutes, phase, reference_min, n_threads)
    clock.begin("alarms")
    budget = Budget(budget_share * site.operators_per_shift * OPERATOR_WINDOWS_PER_DAY)
    limits = limits_for(phase, budget)
    alarms = alarms_of(phase, limits, reference_min, n_threads)
    groups = groups_of(alarms, minutes.points, budget)
    clock.end()
    return LineCharts(minutes, phase, limits, reference_min, by_rule, alarms, groups, seconds, site.operators_per_shift)


class _Clock:
    """What each part takes, and that it begins."""

    _PARTS = 4

    def __init__(self, seconds: dict[str, float], tell: Progress) -> None:
        self._seconds, self._tell = seconds, tell
        self._begun: tuple[str, float] | None = None

    def begin(self, part: str) -> None:
        self.end()
        self._tell(part.replace("_", " "), len(self._seconds), self._PARTS)
        self._begun = part, time.perf_counter()

    def end(self) -> None:
        if self._begun is not None:
            self._seconds[self._begun[0]] = time.perf_counter() - self._begun[1]
        self._begun = None
