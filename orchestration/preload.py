"""First module of the fork server: sets the switches, then imports the project's own code. Opens nothing."""

from __future__ import annotations

from orchestration.environment import prepare_process

prepare_process()

import orchestration.assembly  # noqa: E402, F401 - imported for its children's sake
