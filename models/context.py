"""Where and as of when a solution is trained, judged, scored and watched."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.lake.progress import Progress, silent

if TYPE_CHECKING:
    from pipelines.control_plan.site import Site
    from pipelines.lake.home import Home

Mode = Literal["search", "refit"]


def _threads() -> int:
    """As many as a connection to the lake has; its module brings DuckDB, which loading this one must not."""
    from pipelines.lake.connection import threads

    return threads()


@dataclass(frozen=True)
class ModelContext:
    """Everything outside the spec that a run depends on.

    Attributes:
        home: Where the state is kept.
        site: The site with its control plan; None only for a file table outside any plan.
        snapshot: Lake snapshot to read, the published one; None reads the newest (file tables have none).
        as_of: The plant's now (UTC, naive); labels known later are not seen. None: all labels.
        mlflow_uri: Tracking and registry address; default the home's SQLite file.
        n_threads: Threads for reading, fits and predictions, at least 1; default `CELLWORKS_THREADS`, else the cores up
            to 4.
        mode: `search` spends `search.trials`, `refit` starts from the best known parameters.
        inputs_passed: Whether the inputs' expectations passed; None means nobody looked, which no gate accepts
            for lake tables.
        actor: Who runs this; recorded in runs and audits.
        files_root: Folder against which relative file tables are resolved.
        tell: Called with what is being done, parts done and parts in all.
    """

    home: Home
    site: Site | None = None
    snapshot: int | None = None
    as_of: datetime | None = None
    mlflow_uri: str | None = None
    n_threads: int = field(default_factory=_threads)
    mode: Mode = "search"
    inputs_passed: bool | None = None
    actor: str = "nightly"
    files_root: Path | None = None
    tell: Progress = field(default=silent, compare=False, repr=False)

    @property
    def tracking_uri(self) -> str:
        """The MLflow address in use."""
        return self.mlflow_uri or self.home.stores.mlflow_uri

    @property
    def is_guarded(self) -> bool:
        """Whether the site names roles: then only what the audit tells makes a champion."""
        return self.site is not None and self.site.access.is_guarded

    @property
    def plan_hash(self) -> str:
        """SHA-256 of the control plan's files; empty without a site."""
        return str(self.site.plan.hash) if self.site is not None else ""

    def with_mode(self, mode: Mode) -> ModelContext:
        """A copy in another mode."""
        return replace(self, mode=mode)
