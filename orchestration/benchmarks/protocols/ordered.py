"""The last rows are judged, by a column that they follow each other in: what a model meets after it was learnt."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from orchestration.benchmarks.splitting import JUDGED, LEARNT, RowProtocol, Split


class Protocol(RowProtocol):
    """Attributes of the kind.

    Attributes:
        column: a number or time by which the rows follow each other.
        last_share: share of the rows that is judged.
        seeds: of the search, 0 and up, whose mean counts.
    """

    kind: Literal["ordered"]
    column: str
    last_share: float = Field(gt=0.0, lt=1.0)
    seeds: int = Field(default=5, ge=1)

    def told(self) -> str:
        """The protocol in words."""
        share = f"the last {100 * self.last_share:.0f} % by {self.column} are judged"
        return f"{share}, learnt on all before; mean over {self.seeds} seeds of the search"

    def parted(self, table: pa.Table, *, quick: bool) -> list[Split]:
        """The last rows with each seed."""
        order = np.argsort(np.asarray(table.column(self.column).to_pylist()), kind="stable")
        parts = np.full(table.num_rows, LEARNT, dtype=object)
        parts[order[round(table.num_rows * (1 - self.last_share)) :]] = JUDGED
        seeds = range(1 if quick else self.seeds)
        return [Split(seed, parts) for seed in seeds]
