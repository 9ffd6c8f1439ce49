"""The split that the authors published, as a column of the table; only the seed of our search is drawn."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from orchestration.benchmarks.splitting import LEARNT, RowProtocol, Split


class Protocol(RowProtocol):
    """Attributes of the kind.

    Attributes:
        column: says which part a row belongs to.
        learnt: parts to learn from.
        judged: parts that are judged, each by itself; rows of other parts are left out.
        seeds: of the search, 0 and up, whose mean counts.
    """

    kind: Literal["parts"]
    column: str
    learnt: list[str]
    judged: list[str]
    seeds: int = Field(default=5, ge=1)

    def told(self) -> str:
        """The protocol in words."""
        parts = f"the authors' split, learnt on {', '.join(self.learnt)}, judged on {', '.join(self.judged)}"
        return f"{parts}; mean over {self.seeds} seeds of the search"

    def parted(self, table: pa.Table, *, quick: bool) -> list[Split]:
        """The same parts with each seed."""
        values = np.asarray(table.column(self.column).to_pylist(), dtype=object)
        parts = np.full(table.num_rows, None, dtype=object)
        parts[np.isin(values, self.judged)] = values[np.isin(values, self.judged)]
        parts[np.isin(values, self.learnt)] = LEARNT
        seeds = range(1 if quick else self.seeds)
        return [Split(seed, parts) for seed in seeds]
