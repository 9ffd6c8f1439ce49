"""Why a step of the night failed is what a person is told, with how to mend it; not what lay below."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.cli.plant_commands import _why
from pipelines.control_plan.errors import CellworksError


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (CellworksError("source 'erp' can't be read", mend="check `sources:`"), "source 'erp' can't be read"),
        (RuntimeError("a wrapping"), "no such table"),
    ],
)
def test_what_we_tell_is_shown_else_the_first_cause(told: Exception, expected: str) -> None:
    @dg.op
    def reads() -> None:
        raise told from ValueError("no such table: customer_order")

    @dg.job
    def night() -> None:
        reads()

    run = night.execute_in_process(raise_on_error=False)
    (failure,) = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    assert expected in _why(failure)
    assert ("check `sources:`" in _why(failure)) == isinstance(told, CellworksError)
