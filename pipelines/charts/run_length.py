"""Average run lengths: how many points until a chart signals, for independent normal points, and limits that give one.

Shifts are in standard deviations of a point. A chart begins at its centre (zero state). The shift is there from the
first point on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import log, sqrt

import numpy as np

from pipelines.charts.constants import LIMIT_SIGMAS, Array
from pipelines.charts.rules import Rule, Run

_NODES = 48
_REACH = 9.0  # standard deviations from its mean beyond which a point is not counted
_SETTLED = 1e-6  # share by which an exact limit of an EWMA may still differ from the asymptotic one
_NARROWEST, _WIDEST = 0.5, 40.0  # limits and decision intervals that a search goes through

_State = tuple[int, ...]
"""For each rule two histories, above and below: bits of the points before, newest lowest."""


def shewhart_arl(shift: float, limit_sigmas: float = LIMIT_SIGMAS) -> float:
    """Points until one lies beyond the limit.

    Args:
        shift: of the mean.
        limit_sigmas: control limit.
    """
    from scipy.special import ndtr

    return float(1 / (ndtr(-limit_sigmas - shift) + ndtr(shift - limit_sigmas)))


def shewhart_limit(arl: float) -> float:
    """Control limit at which a good process signals every `arl` points (above 1)."""
    from scipy.special import ndtri

    return float(-ndtri(0.5 / arl))


def cusum_arl(shift: float, slack: float, decision: float, sides: int = 2) -> float:
    """Points until a sum is above its decision interval.

    L(u) = 1 + L(0) F(k - u) + integral over 0..h of L(x) f(x + k - u), F and f of a shifted point, is solved at Gauss
    points; two sides signal as 1/ARL = 1/ARL+ + 1/ARL-, which is exact for sums that begin at 0.

    Args:
        shift: of the mean; of one side, upwards.
        slack: k, above 0.
        decision: h, above 0.
        sides: 1 or 2.

    Source: Page, Biometrika 41 (1954) 100; Vance, J. Quality Technology 18 (1986) 189; Lucas and Crosier,
    Technometrics 24 (1982) 199.
    """
    from scipy.special import ndtr

    if sides == 2:
        return 1 / sum(1 / cusum_arl(each, slack, decision, 1) for each in (shift, -shift))
    node, weight = _gauss(max(_NODES, int(8 * decision)))
    # The first state is the sum's atom at 0, the others lie inside.
    at = np.append(0.0, (node + 1) * decision / 2)
    toward = at[None, 1:] + slack - at[:, None] - shift
    inside = np.exp(-(toward**2) / 2) / sqrt(2 * np.pi) * weight * decision / 2
    moves = np.column_stack([ndtr(slack - at - shift), inside])
    return float(np.linalg.solve(np.eye(len(at)) - moves, np.ones(len(at)))[0])


def cusum_decision(arl: float, slack: float, sides: int = 2) -> float:
    """Decision interval h at which a good process signals every `arl` points; arguments as for `cusum_arl`."""
    return _limit_for(arl, lambda decision: cusum_arl(0.0, slack, decision, sides))


def ewma_arl(
    shift: float, weight: float, ewma_sigmas: float, *, is_exact: bool = False, limit_sigmas: float = np.inf
) -> float:
    """Points until the EWMA is beyond its limit, or a point beyond its own.

    L(u) = 1 + integral of L((1 - w) u + w z) f(z) over the points z that keep both within their limits. L is a
    polynomial through Chebyshev points, the integral goes by Gauss points over each one's own bounds. With exact
    limits, which widen from point to point, the same integral is taken backwards from where they have settled.

    Args:
        shift: of the mean.
        weight: lambda, in (0, 1].
        ewma_sigmas: L, in standard deviations of the EWMA.
        is_exact: whether limits follow the EWMA's own deviation from the first point on; else the asymptotic ones.
        limit_sigmas: control limit of single points beside it; without limit where infinite.

    Source: Crowder, Technometrics 29 (1987) 401; collocation as in Knoth, Statistics and Computing 15 (2005) 341.
    """
    half = ewma_sigmas * sqrt(weight / (2 - weight))
    place = _chebyshev()[0]

    def step(state: Array, to: float) -> Array:
        return _ewma_step(state, to, weight, shift, limit_sigmas)

    left = np.linalg.solve(np.eye(_NODES) - step(half * place, half), np.ones(_NODES))
    steps = int(np.ceil(log(_SETTLED) / (2 * log(1 - weight)))) if is_exact and weight < 1 else 0
    widths = half * np.sqrt(1 - (1 - weight) ** (2.0 * np.arange(1, steps + 1)))
    to = half
    for width in widths[::-1]:
        left, to = 1 + step(width * place, to) @ left, float(width)
    return float(1 + (step(np.zeros(1), to) @ left)[0])


def ewma_limit(arl: float, weight: float, *, is_exact: bool = False, limit_sigmas: float = np.inf) -> float:
    """Limit L at which a good process signals every `arl` points; arguments as for `ewma_arl`.

    Raises:
        ValueError: the limit of single points alone signals more often.
    """
    return _limit_for(arl, lambda width: ewma_arl(0.0, weight, width, is_exact=is_exact, limit_sigmas=limit_sigmas))


def runs_arl(shift: float, rules: Sequence[Rule]) -> float:
    """Points until one of the rules signals, exactly, by a Markov chain over what the rules remember.

    Args:
        shift: of the mean.
        rules: of the form `Rule.run`, at least one.

    Raises:
        ValueError: a rule of another form.

    Source: Champ and Woodall, Technometrics 29 (1987) 393.
    """
    runs = [rule.run for rule in rules if rule.run]
    if not runs or len(runs) < len(rules):
        raise ValueError("run lengths are exact for rules of 'count of the last points beyond' only")
    zones, chances = _zones(runs, shift)
    start: _State = (0,) * (2 * len(runs))
    places, todo, moves = {start: 0}, [start], []
    while todo:
        state = todo.pop()
        for zone, chance in zip(zones, chances, strict=True):
            after = _next_state(state, zone, runs)
            if after is not None:
                if after not in places:
                    places[after] = len(places)
                    todo.append(after)
                moves.append((places[state], places[after], chance))
    table = np.zeros((len(places), len(places)))
    for begin, end, chance in moves:
        table[begin, end] += chance
    return float(np.linalg.solve(np.eye(len(places)) - table, np.ones(len(places)))[0])


def _zones(runs: Sequence[Run], shift: float) -> tuple[list[float], Array]:
    """A point of each zone between the rules' levels, and the chance to fall into the zone."""
    from scipy.special import ndtr

    levels = sorted({run.beyond_sigmas for run in runs} | {0.0})
    inner = [-level for level in reversed(levels[1:])] + levels
    edges = np.asarray([-np.inf, *inner, np.inf])
    bounded = np.asarray([inner[0] - 1, *inner, inner[-1] + 1])
    return ((bounded[1:] + bounded[:-1]) / 2).tolist(), np.diff(ndtr(edges - shift))


def _next_state(state: _State, z: float, runs: Sequence[Run]) -> _State | None:
    """What is remembered after a point; None where a rule signals."""
    after = []
    for place, history in enumerate(state):
        run = runs[place // 2]
        is_beyond = (z if place % 2 == 0 else -z) > run.beyond_sigmas
        window = (history << 1 | is_beyond) & ((1 << run.of) - 1)
        if is_beyond and window.bit_count() >= run.count:
            return None
        after.append(_useful(window & ((1 << (run.of - 1)) - 1), run))
    return tuple(after)


def _useful(history: int, run: Run) -> int:
    """A history without the points that will have left the window before enough others can have joined them.

    States that differ by such points only are one state: 4,600 histories of the four Western Electric rules are some
    hundred states.
    """
    for age in range(run.of - 1, 0, -1):
        if (history & ((1 << age) - 1)).bit_count() + run.of - age < run.count:
            history &= ~(1 << (age - 1))
    return history


@cache
def _chebyshev() -> tuple[Array, Array]:
    """Chebyshev points in (-1, 1), and the matrix that takes values there to coefficients of Chebyshev polynomials."""
    place = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    coefficients = np.polynomial.chebyshev.chebvander(place, _NODES - 1).T * 2 / _NODES
    coefficients[0] /= 2
    return place, coefficients


@cache
def _gauss(nodes: int) -> tuple[Array, Array]:
    """Points in (-1, 1) and weights of Gauss and Legendre."""
    node, weight = np.polynomial.legendre.leggauss(nodes)
    return node, weight


def _ewma_step(state: Array, to: float, weight: float, shift: float, limit_sigmas: float) -> Array:
    """Matrix (states, nodes) that takes a function's values at Chebyshev points within `to` to its mean after a point.

    Args:
        state: EWMA before the point (states,).
        to: half-width that the EWMA must keep within after it.
        weight: lambda.
        shift: of the point's mean.
        limit_sigmas: that the point must keep within.
    """
    reach = np.asarray([max(-limit_sigmas, shift - _REACH), min(limit_sigmas, shift + _REACH)])
    kept = (1 - weight) * state[:, None]
    low, high = np.clip(np.hstack([(-to - kept) / weight, (to - kept) / weight]), *reach).T
    node, share = _gauss(_NODES)
    half = (high - low)[:, None] / 2
    z = low[:, None] + half * (node + 1)
    mass = half * share * np.exp(-((z - shift) ** 2) / 2) / sqrt(2 * np.pi)
    basis = np.polynomial.chebyshev.chebvander(np.clip((kept + weight * z) / to, -1, 1), _NODES - 1)
    return np.asarray((mass[:, None, :] @ basis)[:, 0] @ _chebyshev()[1])


def _limit_for(arl: float, arl_of: Callable[[float], float]) -> float:
    """Width at which a run length that grows with it reaches `arl`.

    The search goes up in small steps: where run lengths are beyond 1e12 their equations cannot be solved any more.

    Raises:
        ValueError: no width has this run length.
    """
    from scipy.optimize import brentq

    narrow, wide = 0.0, _NARROWEST
    while arl_of(wide) < arl:
        narrow, wide = wide, wide * 1.3
        if wide > _WIDEST:
            raise ValueError(f"no limit makes this chart signal as seldom as every {arl:g} points")
    if narrow == 0:
        raise ValueError(f"no limit makes this chart signal as often as every {arl:g} points")
    return float(brentq(lambda width: log(arl_of(width) / arl), narrow, wide, xtol=1e-9))
