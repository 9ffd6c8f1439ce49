"""Random splits that keep the share of the classes: the usual published protocol, and the one that flatters most."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from orchestration.benchmarks.outcome import Array
from orchestration.benchmarks.splitting import JUDGED, LEARNT, RowProtocol, Split


class Protocol(RowProtocol):
    """Attributes of the kind.

    Attributes:
        column: the class.
        test_share: share of the rows that is judged.
        splits: seeds 0 and up, whose mean counts.
        shown: seed of the published split, shown as `<figure> seed <seed>` and not counted.
    """

    drawn: ClassVar[str] = "splits"
    kind: Literal["stratified"]
    column: str
    test_share: float = Field(gt=0.0, lt=1.0)
    splits: int = Field(ge=1)
    shown: int | None = None

    def told(self) -> str:
        """The protocol in words."""
        share = f"{100 * (1 - self.test_share):.0f}/{100 * self.test_share:.0f}"
        return f"{self.splits} stratified random {share} splits, seeds 0 to {self.splits - 1}; the mean counts"

    def parted(self, table: pa.Table, *, quick: bool) -> list[Split]:
        """One split per seed, and the one that is only shown."""
        y = np.asarray(table.column(self.column).to_pylist())
        counted = [0] if quick else list(range(self.splits))
        shown = [] if quick or self.shown is None else [self.shown]
        of = [(seed, True) for seed in counted] + [(seed, False) for seed in shown]
        return [Split(seed, self._parts(y, seed), counts=counts) for seed, counts in of]

    def _parts(self, y: Array, seed: int) -> Array:
        """scikit-learn's split, for its seeds are the published ones."""
        from sklearn.model_selection import train_test_split

        _, test = train_test_split(np.arange(len(y)), test_size=self.test_share, stratify=y, random_state=seed)
        parts = np.full(len(y), LEARNT, dtype=object)
        parts[test] = JUDGED
        return parts
