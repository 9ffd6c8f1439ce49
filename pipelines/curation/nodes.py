"""How far a call of dbt is, from the events that it sends."""

from __future__ import annotations

import logging
from contextvars import copy_context
from typing import Any

from pipelines.lake.progress import Progress

logger = logging.getLogger(__name__)


class Nodes:
    """Counts the models and tests that dbt has done with: a callback of `dbtRunner`.

    dbt takes an error of a callback for one of the model at work; so it stays here, and is logged.

    Args:
        progress: called when a node begins and when it is done: built, failed or skipped.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        # dbt builds in threads of its own, which know nothing of the context of whoever called.
        self._context = copy_context()
        self._done = 0
        self._total = 0

    def __call__(self, event: Any) -> None:
        """Take one event of any kind."""
        try:
            self._hear(event.info.name, event.data)
        except Exception:
            logger.exception("the progress of dbt could not be told")

    def _hear(self, kind: str, data: Any) -> None:
        if kind == "LogStartLine":
            self._total = data.total
            self._tell(data.node_info.node_name)
        elif kind == "SkippingDetails":
            self._total = data.total
        elif kind == "NodeFinished":
            self._done += 1
            self._tell(data.node_info.node_name)

    def _tell(self, name: str) -> None:
        self._context.copy().run(self._progress, name, self._done, self._total)
