"""What a curation run did, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layer = Literal["staging", "marts"]
Status = Literal["built", "unchanged", "failed"]


@dataclass(frozen=True)
class ModelResult:
    """One model.

    Attributes:
        name: table or view.
        relation: `schema.table`.
        rows: rows it holds now; None for views and for models that were not reached.
        seconds: wall time of its build.
        status: success, error or skipped.
        message: what dbt said; empty when it went well.
    """

    name: str
    relation: str
    rows: int | None
    seconds: float
    status: str
    message: str = ""


@dataclass(frozen=True)
class TestResult:
    """One dbt test: its name, the model it is about, how many rows fail it."""

    __test__ = False

    name: str
    model: str
    status: str
    failures: int
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class CurateReport:
    """One layer of one domain.

    Attributes:
        status: `unchanged` when nothing new touches the domain, so that dbt was not called.
        seconds: wall time, dbt's own overhead included.
    """

    layer: Layer
    domain: str
    status: Status
    models: tuple[ModelResult, ...] = ()
    tests: tuple[TestResult, ...] = ()
    seconds: float = 0.0

    @property
    def is_passed(self) -> bool:
        """Whether every model was built and no test failed."""
        return self.status != "failed"

    @property
    def failed_tests(self) -> tuple[TestResult, ...]:
        """Tests that did not pass."""
        return tuple(test for test in self.tests if test.status not in ("pass", "success"))
