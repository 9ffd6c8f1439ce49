"""The most that a chart can be expected to find: it knows what is put in, and only not where, when and which way.

The likelihood of each course that a kind of fault takes against that of none, for each row that it may have begun with,
averaged (Shiryaev, Theory of Probability and Its Applications 8 (1963) 22): where rows are normal and follow from
nothing before them, no other statistic of them finds more on average at as many alarms. Charts that do not know the
courses find less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from orchestration.evaluation.faults import Array, Moved
from orchestration.evaluation.monitors import delay_h, limit_for

_ROWS = 8  # of a course: the first rows of a fault, as many as most faults of its kind have


def delays_at_best(
    x: Array, before: Array, since_h: Sequence[Array], moved: Sequence[Array], kinds: Sequence[str], *,
    most: Sequence[int], counted: Array, horizon_h: float,
) -> Array:  # fmt: skip
    """Hours until the best chart finds each fault, (limits, faults); the horizon where it does not.

    Args:
        x: rows without a fault, in the order of their runs, (rows, variables).
        before: rows before each in its run.
        since_h: of each fault, hours since it began, NaN for rows that it does not touch, (rows,).
        moved: of each fault, by how much it moves the rows, (rows, variables).
        kinds: of each fault, what it is known by: faults of a kind differ in direction, place and moment alone.
        most: alarms that the chart may raise where nothing was put in; each number gives a limit.
        counted: rows that these are counted among, a mask.
        horizon_h: hours after which a fault counts as not found.
    """
    mean, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    z = np.nan_to_num((x - mean) / scale)
    inverse = np.linalg.inv(np.atleast_2d(np.corrcoef(z.T)))
    courses = list(_courses(since_h, moved, kinds, scale))
    usual = _likelihood(z, before, courses, inverse)
    told = np.where(counted, usual, np.nan)
    limits = [limit_for(each, told, lambda over: int(np.count_nonzero(_begins(over, before)))) for each in most]
    delays = np.empty((len(limits), len(moved)))
    for fault, (hours, by) in enumerate(zip(since_h, moved, strict=True)):
        # A fault touches rows of one run and its neighbours alone; all others stay as they are.
        near = np.flatnonzero(np.isfinite(hours))
        rows = np.arange(max(0, near[0] - _ROWS), near[-1] + 1)
        seen = _likelihood(z[rows] + np.nan_to_num(by[rows]) / scale, before[rows], courses, inverse)
        for place, limit in enumerate(limits):
            delays[place, fault] = delay_h(seen > limit, usual[rows] > limit, hours[rows], horizon_h)[0]
    return delays


def _begins(over: Array, before: Array) -> Array:
    return over & ~(np.roll(over, 1) & (before > 0))


def _courses(since_h: Sequence[Array], moved: Sequence[Array], kinds: Sequence[str], scale: Array) -> Iterator[Array]:
    """The mean course of each kind in both directions, (rows, variables), in standard deviations."""
    for kind in dict.fromkeys(kinds):
        own = [at for at, each in enumerate(kinds) if each == kind]
        courses = [moved[at][np.isfinite(since_h[at])][:_ROWS] / scale for at in own]
        rows = max(len(course) for course in courses)
        each = [course * _sign(course) for course in courses if len(course) == rows]
        yield np.mean(each, axis=0)
        yield -np.mean(each, axis=0)


def _sign(course: Array) -> Array:
    """In which direction a course goes where it went furthest at last."""
    return np.asarray(np.sign(course[-1, np.abs(course[-1]).argmax()]))


def _likelihood(z: Array, before: Array, courses: Sequence[Array], inverse: Array) -> Array:
    """Logarithm of the likelihood of a fault that began with any of a row's last rows, beside that of none."""
    total = np.full(len(z), -np.inf)
    for course in courses:
        weights = course @ inverse
        gain, cost = z @ weights.T, np.cumsum((weights * course).sum(axis=1)) / 2
        for last in range(len(course)):
            told = sum(np.roll(gain[:, step], last - step) for step in range(last + 1)) - cost[last]
            total = np.logaddexp(total, np.where(before >= last, told, -np.inf))
    return total


def kind_of(moved: Moved) -> str:
    """What a fault is known by, but for its direction."""
    return f"{moved.fault.code} {abs(moved.fault.shift):g} {abs(moved.fault.ramp):g}"
