"""What sensors share: when they look away, and cursors that hold more than one thing."""

from __future__ import annotations

import json
from typing import Any

import dagster as dg

from orchestration.run_lock import under_way
from orchestration.whose import Ours
from pipelines.lake.home import Home


def busy(home: Home) -> dg.SkipReason | None:
    """A reason to look again at the next tick: what a run brings in or moves is told when it is over.

    The cursor stays, so nothing that happens meanwhile is missed, and many changes become one run.
    """
    holder = under_way(home)
    return dg.SkipReason(f"a run is under way: {holder}; looked at again at the next tick") if holder else None


def ours_of(context: dg.SensorEvaluationContext) -> Ours:
    """Tells the runs of this site, which may share Dagster with others, by the sensor's own code location."""
    origin = context.code_location_origin
    return Ours(context.instance, None if origin is None else origin.location_name)


def read_cursor(cursor: str | None) -> dict[str, Any]:
    """The cursor's content; empty before the first tick and for one that another release wrote."""
    try:
        read = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def write_cursor(content: dict[str, Any]) -> str:
    """The content as a cursor: equal contents are equal text."""
    return json.dumps(content, sort_keys=True)
