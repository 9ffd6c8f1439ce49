"""The signals of a control chart: one bit each, with their exact definitions.

A point is standardised: z = (value - centre) / sigma. Beyond means farther out than, never at; within means not beyond.
A rule over several points signals at its last point, and only where that point takes part: a point that lies well is
never accused for its neighbours. Missing points are passed over as if they had not been there.

The bits are written to the lake: a number is never given a new meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """`count` of the last `of` points beyond `beyond_sigmas` on the same side, the newest among them."""

    count: int
    of: int
    beyond_sigmas: float


@dataclass(frozen=True)
class Rule:
    """One kind of signal.

    Attributes:
        place: number of its bit.
        name: in tables and YAML.
        sentence: for people.
        western_electric: its number there, if any.
        nelson: its number there, if any.
        run: the exact definition, of rules of that form.
    """

    place: int
    name: str
    sentence: str
    western_electric: int | None = None
    nelson: int | None = None
    run: Run | None = None

    @property
    def bit(self) -> int:
        """The bit itself."""
        return 1 << self.place


RULES = (
    Rule(0, "beyond_limit", "one point beyond the control limit", 1, 1, Run(1, 1, 3.0)),
    Rule(1, "two_of_three", "2 of 3 points beyond 2 sigma on the same side", 2, 5, Run(2, 3, 2.0)),
    Rule(2, "four_of_five", "4 of 5 points beyond 1 sigma on the same side", 3, 6, Run(4, 5, 1.0)),
    Rule(3, "eight_on_a_side", "8 points in a row on the same side of the centre", 4, None, Run(8, 8, 0.0)),
    Rule(4, "nine_on_a_side", "9 points in a row on the same side of the centre", None, 2, Run(9, 9, 0.0)),
    Rule(5, "six_rising_or_falling", "6 points in a row, each higher (or each lower) than the last", None, 3),
    Rule(6, "fourteen_alternating", "14 points in a row, alternating up and down", None, 4),
    Rule(7, "fifteen_within_1_sigma", "15 points in a row within 1 sigma of the centre", None, 7),
    Rule(8, "eight_beyond_1_sigma", "8 points in a row beyond 1 sigma, some on either side", None, 8),
    Rule(9, "ewma_high", "the weighted mean of the points is above its limit"),
    Rule(10, "ewma_low", "the weighted mean of the points is below its limit"),
    Rule(11, "cusum_high", "the points add up to a shift upwards"),
    Rule(12, "cusum_low", "the points add up to a shift downwards"),
)
_BY_NAME = {rule.name: rule for rule in RULES}


def mask_of(names: Iterable[str]) -> int:
    """Bits of the rules named.

    Raises:
        KeyError: no rule has that name.
    """
    mask = 0
    for name in names:
        mask |= _BY_NAME[name].bit
    return mask


def names_of(bits: int) -> list[str]:
    """Names of the rules whose bits are set, in the order of the table."""
    return [rule.name for rule in RULES if bits & rule.bit]


WESTERN_ELECTRIC = mask_of(rule.name for rule in RULES if rule.western_electric)
NELSON = mask_of(rule.name for rule in RULES if rule.nelson)
EWMA = mask_of(["ewma_high", "ewma_low"])
CUSUM = mask_of(["cusum_high", "cusum_low"])
DEFAULT = mask_of(["beyond_limit"]) | EWMA
"""What runs where nothing else is asked: all rules at once on thousands of tags are a flood of alarms."""
