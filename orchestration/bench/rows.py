"""Rows of the benchmark: what was measured, beside what, against which target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Samples:
    """One quantity measured one or more times, in the row's unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure that is told."""
        return median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest."""
        return min(self.values), max(self.values)


def samples(values: Sequence[float] | float) -> Samples:
    """Samples of some values, or of a single one."""
    return Samples(tuple(values) if isinstance(values, Sequence) else (values,))


@dataclass(frozen=True)
class Target:
    """A limit for the ratio of ours to bare, or for ours alone."""

    of: Literal["ratio", "ours"]
    sense: Literal["<=", ">="]
    limit: float

    def is_met(self, value: float) -> bool:
        """Whether a value keeps the limit."""
        return value <= self.limit if self.sense == "<=" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.of} {self.sense} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: What was measured, as `--only` and later readers know it.
        ours: The platform's figure.
        unit: Unit of both figures.
        bare: The same work without the platform; None where a row has no such thing.
        target: None for a row that only informs.
        note: What exactly stands beside what.
    """

    name: str
    ours: Samples
    unit: str
    bare: Samples | None = None
    target: Target | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours to bare, of the medians; None without a bare figure."""
        if self.bare is None or self.bare.median == 0:
            return None
        return self.ours.median / self.bare.median

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without one, or when the bare figure that it needs is missing."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of == "ratio" else self.ours.median
        return None if value is None else self.target.is_met(value)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "ours": self.ours.median,
            "bare": None if self.bare is None else self.bare.median,
            "unit": self.unit,
            "ratio": self.ratio,
            "target": None if self.target is None else str(self.target),
            "met": self.is_met,
            "ours_min_max": list(self.ours.spread),
            "bare_min_max": None if self.bare is None else list(self.bare.spread),
            "repeats": len(self.ours.values),
            "note": self.note,
        }
