"""Ctrl-C is Ctrl-C, whatever a library made of it.

DuckDB raises a plain RuntimeError when a query is interrupted, with what the signal's handler raised as its cause.
"""

from __future__ import annotations

from typing import Any

# Dagster's own is known by name, so that commands without Dagster need not import it.
_NAMES = frozenset({"KeyboardInterrupt", "DagsterExecutionInterruptedError"})


def is_interruption(error: BaseException | None) -> bool:
    """Whether an error is an interruption, or was made of one."""
    while error is not None:
        if type(error).__name__ in _NAMES:
            return True
        error = error.__cause__ or error.__context__
    return False


def was_interrupted(failure: Any) -> bool:
    """The same of a step's failure, whose error Dagster keeps as text.

    Args:
        failure: `step_failure_data` of the step's event.
    """
    error = failure.error
    while error is not None:
        if error.cls_name in _NAMES:
            return True
        error = error.cause or error.context
    return False
