"""The code location of a daemon that is killed: what the platform serves, less the curated tables."""

from __future__ import annotations

from orchestration.environment import prepare_process

prepare_process()

import dagster as dg  # noqa: E402

from orchestration.assembly import build_definitions  # noqa: E402
from orchestration.logs import configure  # noqa: E402

configure()


@dg.definitions
def defs() -> dg.Definitions:
    """Everything but the curated tables, which would need dbt's manifest."""
    return build_definitions(tables=[])
