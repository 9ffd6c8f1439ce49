"""Ctrl-C is Ctrl-C, whatever a library made of it.

DuckDB raises a plain RuntimeError when a query is interrupted, with what the signal's handler raised as its cause.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Dagster's own is known by name, so that commands without Dagster need not import it.
_NAMES = frozenset({"KeyboardInterrupt", "DagsterExecutionInterruptedError"})


def interruption_in(error: BaseException | None) -> BaseException | None:
    """The interruption that an error is, or was made of; None for any other error."""
    while error is not None:
        if type(error).__name__ in _NAMES:
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def heard() -> Iterator[None]:
    """Within the block of a step an interruption leaves as itself; Dagster would go on after a failed step."""
    try:
        yield
    except Exception as error:
        found = interruption_in(error)
        if found is not None:
            raise type(found) from None
        raise


def was_interrupted(failure: Any) -> bool:
    """Whether a step's failure, whose error Dagster keeps as text, is an interruption or was made of one.

    Args:
        failure: `step_failure_data` of the step's event.
    """
    error = failure.error
    while error is not None:
        if error.cls_name in _NAMES:
            return True
        error = error.cause or error.context
    return False
