"""ISO 2859-1:1999, single sampling by attributes: code letters, plans, and what a plan lets through.

The tables are facts of the standard, written here as what they are: one sequence of acceptance numbers along each
diagonal of code letter and AQL. Held: levels I to III; normal inspection for AQL 0.010 to 10 % nonconforming; tightened
inspection but for the two cells between 0 and 1 on each row, whose arrows are not known here for certain. Not held, and
refused: reduced inspection (its numbers changed between editions), special levels S-1 to S-4, AQL above 10.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pipelines.control_plan.errors import CellworksError

Level = Literal["I", "II", "III"]
Severity = Literal["normal", "tightened", "reduced"]

LETTERS: Final = "ABCDEFGHJKLMNPQR"
SAMPLE_SIZES: Final = (2, 3, 5, 8, 13, 20, 32, 50, 80, 125, 200, 315, 500, 800, 1250, 2000)
AQLS: Final = (0.010, 0.015, 0.025, 0.040, 0.065, 0.10, 0.15, 0.25, 0.40, 0.65, 1.0, 1.5, 2.5, 4.0, 6.5, 10.0)
"""Acceptance quality limits in percent nonconforming."""
_LOT_ENDS = (8, 15, 25, 50, 90, 150, 280, 500, 1_200, 3_200, 10_000, 35_000, 150_000, 500_000)
_LEVELS: Final[dict[Level, str]] = {"I": "AABCCDEFGHJKLMN", "II": "ABCDEFGHJKLMNPQ", "III": "BCDEFGHJKLMNPQR"}
_UP, _DOWN = "up", "down"
# Number of the diagonal (letter plus AQL) on which Ac is 0, and what follows it.
_DIAGONALS: Final[dict[Severity, tuple[int, tuple[int | str, ...]]]] = {
    "normal": (14, (0, _UP, _DOWN, 1, 2, 3, 5, 7, 10, 14, 21)),
    "tightened": (15, (0, "?", "?", 1, 2, 3, 5, 8, 12, 18)),
}


class UnknownPlanError(CellworksError):
    """The standard has a plan there that is not held here."""


@dataclass(frozen=True)
class Plan:
    """A single sampling plan.

    Attributes:
        letter: Code letter of the sample size, after arrows were followed.
        size: Units to inspect; the whole lot where it holds no more.
        accept: Acceptance number Ac: so many nonconforming units are let pass.
        accept_tighter: Ac of the same sample at the next smaller AQL, which the switching score asks for; None where
            Ac is below 2 and it does not.
    """

    letter: str
    size: int
    accept: int
    accept_tighter: int | None = None

    @property
    def reject(self) -> int:
        """Rejection number Re."""
        return self.accept + 1


def code_letter(lot_size: int, level: Level = "II") -> str:
    """Code letter of a lot (table 1).

    Args:
        lot_size: Units in the lot, at least 2.
        level: General inspection level.

    Raises:
        CellworksError: The lot is too small to be sampled from.
    """
    if lot_size < 2:
        raise CellworksError("a lot is too small to be sampled", expected="2 units or more", found=str(lot_size))
    return _LEVELS[level][bisect_left(_LOT_ENDS, lot_size)]


@cache
def plan_for(lot_size: int, aql: float, level: Level = "II", severity: Severity = "normal") -> Plan:
    """The plan by which a lot is judged (tables 1 and 2), its arrows followed.

    Args:
        lot_size: Units in the lot, at least 2.
        aql: Acceptance quality limit in percent nonconforming, one of `AQLS`.
        level: General inspection level.
        severity: Normal or tightened inspection.

    Raises:
        UnknownPlanError: The plan is not held here, see the module.
        CellworksError: The standard has no such AQL, or the lot is too small.
    """
    if aql not in AQLS:
        raise CellworksError(
            f"there is no AQL of {aql:g} %",
            expected="one of " + ", ".join(f"{each:g}" for each in AQLS),
            found=f"{aql:g}",
        )
    place = LETTERS.index(code_letter(lot_size, level))
    column = AQLS.index(aql)
    cell = _cell(place, column, severity)
    # An arrow points along the column of its AQL to the first plan.
    step = {_UP: -1, _DOWN: 1}.get(str(cell), 0)
    while not isinstance(cell, int):
        place += step
        if step == 0 or not 0 <= place < len(LETTERS):
            raise UnknownPlanError(
                f"the {severity} plan for a lot of {lot_size:,} at AQL {aql:g} % is not held here",
                expected="a cell of the standard's table whose number or arrow is known for certain",
                found=f"code letter {code_letter(lot_size, level)}",
                mend="take another AQL or level, or judge the lot by hand",
            )
        cell = _cell(place, column, severity)
    tighter = _cell(place, column - 1, severity) if cell >= 2 else None
    return Plan(LETTERS[place], min(SAMPLE_SIZES[place], lot_size), cell, tighter if isinstance(tighter, int) else None)


def _cell(place: int, column: int, severity: Severity) -> int | str:
    """Acceptance number or arrow of a letter and an AQL, by their places; `?` where it is not held here."""
    if severity not in _DIAGONALS:
        return "?"
    first, numbers = _DIAGONALS[severity]
    diagonal = place + column - first
    if diagonal < 0:
        return _DOWN
    if diagonal >= len(numbers):
        return _UP
    # The smallest letter has nothing above it.
    return _DOWN if place == 0 and numbers[diagonal] == _UP else numbers[diagonal]


def chance_of_acceptance(plan: Plan, p: npt.ArrayLike) -> npt.NDArray[Any]:
    """Operating characteristic: the chance that a lot is accepted, by the binomial.

    Args:
        plan: The plan; its lot is large beside its sample.
        p: Share of nonconforming units, 0 to 1, any shape.

    Returns:
        Chances of the same shape.
    """
    from scipy.stats import binom

    return np.asarray(binom.cdf(plan.accept, plan.size, p))


def zero_acceptance_size(p: float, beta: float) -> int:
    """Units to inspect so that a lot of share `p` passes without one nonconforming unit with chance `beta` at most.

    n = ln(beta) / ln(1 - p), rounded up: for characteristics on which safety depends.

    Args:
        p: Share of nonconforming units that must be found, above 0 and below 1.
        beta: Chance that it is missed, above 0 and below 1.
    """
    if not (0 < p < 1 and 0 < beta < 1):
        raise CellworksError("no such plan", expected="p and beta above 0 and below 1", found=f"p {p:g}, beta {beta:g}")
    return math.ceil(math.log(beta) / math.log1p(-p) - 1e-9)
