"""The code location: solutions from `defs/`, and the platform that carries them.

Belongs here: assembly. Not here: any definition itself, or work at import time.
"""

from __future__ import annotations

from orchestration.environment import prepare_process

prepare_process()

import warnings  # noqa: E402

import dagster as dg  # noqa: E402 - the switches above are read while third parties are imported

from orchestration.logs import configure  # noqa: E402
from orchestration.secrecy import hide  # noqa: E402

configure()
hide()

# Dagster warns of its own components' use of its own beta classes; nobody here can act on that.
warnings.filterwarnings("ignore", category=dg.BetaWarning, module=r"dagster\.components")


@dg.definitions
def defs() -> dg.Definitions:
    """Return everything that Dagster serves for this site."""
    from orchestration.assembly import build_definitions

    return build_definitions()
