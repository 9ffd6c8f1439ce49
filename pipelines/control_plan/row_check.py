"""What must hold between the fields of one row of the control plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.control_plan.units import unit_problem

if TYPE_CHECKING:
    from pipelines.control_plan.plan import Characteristic

# field, reason, how to mend it
Finding = tuple[str, str, str]


class InconsistentRowError(ValueError):
    """A row whose fields don't fit each other.

    Attributes:
        findings: field, reason and remedy of each misfit.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{field}: {reason}" for field, reason, _ in findings))
        self.findings = tuple(findings)


def row_findings(row: Characteristic) -> Iterator[Finding]:
    """Every misfit between the fields of a row."""
    if bad_unit := unit_problem(row.name, row.unit):
        yield "unit", *bad_unit
    yield from _limits(row)
    yield from _physical_range(row)
    yield from _setpoint(row)
    if row.special_class and row.lsl is None and row.usl is None:
        yield "class", f"{row.special_class} without a specification limit", "give lsl or usl, or leave class empty"


def _limits(row: Characteristic) -> Iterator[Finding]:
    if row.lsl is not None and row.usl is not None and row.lsl > row.usl:
        yield "lsl", f"{row.lsl:g} is above usl {row.usl:g}", "swap them"
    elif row.nominal is not None and row.lsl is not None and row.nominal < row.lsl:
        yield "nominal", f"{row.nominal:g} is below lsl {row.lsl:g}", "move it inside the specification"
    elif row.nominal is not None and row.usl is not None and row.nominal > row.usl:
        yield "nominal", f"{row.nominal:g} is above usl {row.usl:g}", "move it inside the specification"


def _physical_range(row: Characteristic) -> Iterator[Finding]:
    low, high = row.physical_min, row.physical_max
    if low >= high:
        yield "physical_min", f"{low:g} is not below physical_max {high:g}", "swap them"
        return
    for field, value in (("nominal", row.nominal), ("lsl", row.lsl), ("usl", row.usl)):
        if value is not None and not low <= value <= high:
            reason = f"{value:g} is outside the physical range {low:g} to {high:g}"
            yield field, reason, "correct it, or physical_min and physical_max"


def _setpoint(row: Characteristic) -> Iterator[Finding]:
    if row.move_max is None and row.move_rate_per_h is None:
        return
    if row.move_max is None:
        yield "move_max", "is empty although move_rate_per_h is given", "a set-point needs both"
    if row.move_rate_per_h is None:
        yield "move_rate_per_h", "is empty although move_max is given", "a set-point needs both"
    if row.lsl is None or row.usl is None:
        yield "move_max", "a set-point without lsl and usl has no bounds", "give both limits"
    if row.type != "process":
        yield "type", "a product characteristic can't be moved", "write process, or empty the move columns"
