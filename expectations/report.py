"""What a run of suites found. Light: importing it loads no library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Layer = Literal["raw", "staging", "marts"]
LAYERS: tuple[Layer, ...] = ("raw", "staging", "marts")


@dataclass(frozen=True)
class FailedExpectation:
    """One expectation that did not hold.

    Attributes:
        expectation: its type, such as `expect_column_values_to_be_between`.
        title: what it says, for people.
        domain: domain of the table.
        layer: layer of the table.
        table: table without its schema.
        column: column it is about; empty for a whole table.
        kwargs: its arguments.
        count: rows (or groups of rows) that break it; 0 when it is about the table as a whole.
        samples: up to ten of them.
        error: why it could not be computed; empty when it was.
    """

    expectation: str
    title: str
    domain: str
    layer: Layer
    table: str
    column: str
    kwargs: Mapping[str, Any]
    count: int
    samples: tuple[Mapping[str, Any], ...] = ()
    error: str = ""

    def __str__(self) -> str:
        place = ".".join(part for part in (self.layer, self.table, self.column) if part)
        return f"{place}: {self.title} ({self.error or f'{self.count} rows'})"


@dataclass(frozen=True)
class SkippedExpectation:
    """One expectation that had nothing to be computed on, and why; a missing column or table fails by itself."""

    expectation: str
    title: str
    table: str
    column: str
    reason: str


@dataclass(frozen=True)
class TableReport:
    """Outcome of one table's suite.

    Attributes:
        table: table without its schema.
        checks: expectations that the verdict is about.
        passed: those that hold.
        failed: those that don't.
        skipped: those that could not be asked.
        seconds: wall time, start-up of the library left out.
        asked: checks that this run had to ask; the others held on `since`, and nothing that could change them came.
        since: snapshot on which the same suite held before; None when the whole table was validated.
    """

    table: str
    checks: int
    passed: int
    failed: tuple[FailedExpectation, ...] = ()
    skipped: tuple[SkippedExpectation, ...] = ()
    seconds: float = 0.0
    asked: int = 0
    since: int | None = None


@dataclass(frozen=True)
class SuiteReport:
    """Outcome of all suites of one layer and domain.

    Attributes:
        snapshot: what the lake was when the checks were asked.
        startup_seconds: import and start-up of Great Expectations, paid once a process; 0 when warm or unused.
        seconds: wall time of the checks.
    """

    layer: Layer
    domain: str
    tables: tuple[TableReport, ...] = ()
    snapshot: int | None = None
    startup_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def checks(self) -> int:
        """Expectations that the verdict is about."""
        return sum(table.checks for table in self.tables)

    @property
    def passed(self) -> int:
        """Expectations that hold."""
        return sum(table.passed for table in self.tables)

    @property
    def failed(self) -> tuple[FailedExpectation, ...]:
        """Every failed expectation, table by table."""
        return tuple(failure for table in self.tables for failure in table.failed)

    @property
    def is_passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON types (values that JSON lacks become text when dumped with default=str)."""
        return {**asdict(self), "checks": self.checks, "passed": self.passed, "is_passed": self.is_passed}
