"""Limits as theory has them, for independent rows of a normal distribution: a starting point and an oracle.

What acts are the limits of `models.process_monitor.learning`, set on rows that were held out.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from models.process_monitor.runtime import Array


def t2_limit_phase_1(rows: int, variables: int, alpha: float) -> float:
    """Hotelling's T2 of the reference rows themselves: (m-1)^2/m times a Beta quantile.

    Args:
        rows: reference rows m, of which each is judged, more than `variables` + 1.
        variables: p, at least 1.
        alpha: share of good rows beyond the limit, in (0, 1).

    Source: Tracy, Young, Mason, J. Quality Technology 24 (1992) 88; NIST/SEMATECH e-Handbook 6.5.4.3.
    """
    beta = stats.beta.ppf(1 - alpha, variables / 2, (rows - variables - 1) / 2)
    return float((rows - 1) ** 2 / rows * beta)


def t2_limit_phase_2(rows: int, variables: int, alpha: float) -> float:
    """Hotelling's T2 of later rows: p(m+1)(m-1)/(m^2-mp) times an F quantile; arguments and source as for phase 1."""
    factor = variables * (rows + 1) * (rows - 1) / (rows**2 - rows * variables)
    return float(factor * stats.f.ppf(1 - alpha, variables, rows - variables))


def spe_limit(residual_variances: Array, alpha: float) -> float:
    """SPE beyond which a share `alpha` of good rows lies.

    Args:
        residual_variances: variances of the directions that the model leaves out, at least one above zero.
        alpha: in (0, 1).

    Source: Jackson, Mudholkar, Technometrics 21 (1979) 341.
    """
    first, second, third = (float((residual_variances**power).sum()) for power in (1, 2, 3))
    h = 1 - 2 * first * third / (3 * second**2)
    normal = float(stats.norm.ppf(1 - alpha))
    inner = normal * np.sqrt(2 * second * h**2) / first + 1 + second * h * (h - 1) / first**2
    return float(first * inner ** (1 / h))
