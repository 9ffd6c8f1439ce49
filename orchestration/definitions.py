"""The code location: solutions from `defs/`, and the platform that carries them.

Belongs here: assembly. Not here: any definition itself, or work at import time.
"""

from __future__ import annotations

from orchestration.environment import silence_telemetry

silence_telemetry()

import dagster as dg  # noqa: E402 - the switches above are read while third parties are imported


@dg.definitions
def defs() -> dg.Definitions:
    """Return everything that Dagster serves for this site."""
    from orchestration.assembly import build_definitions

    return build_definitions()
