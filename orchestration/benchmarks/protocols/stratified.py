"""Random splits that keep the share of the classes: the usual published protocol, and the one that flatters most."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from orchestration.benchmarks import spec
from orchestration.benchmarks.ground import Ground
from orchestration.benchmarks.outcome import Outcome
from orchestration.benchmarks.splitting import JUDGED, LEARNT, Array, Split, judge_splits, outcome


class Protocol(spec.Protocol):
    """Attributes of the kind.

    Attributes:
        test_share: share of the rows that is judged.
        splits: seeds 0 and up, whose mean counts.
        shown: seed of the published split, shown as `<figure> seed <seed>` and not counted.
    """

    kind: Literal["stratified"]
    test_share: float = Field(gt=0.0, lt=1.0)
    splits: int = Field(ge=1)
    shown: int | None = None

    def told(self) -> str:
        """The protocol in words."""
        share = f"{100 * (1 - self.test_share):.0f}/{100 * self.test_share:.0f}"
        return f"{self.splits} stratified random {share} splits, seeds 0 to {self.splits - 1}; the mean counts"

    def run(self, benchmark: spec.Benchmark, table: pa.Table, ground: Ground) -> Outcome:
        """Learn and judge each split; a quick run takes the first only."""
        y = np.asarray(table.column(benchmark.solution["target"]["column"]).to_pylist())
        counted = [0] if ground.is_quick else list(range(self.splits))
        shown = [] if ground.is_quick or self.shown is None else [self.shown]
        splits = [Split(seed, self._parts(y, seed)) for seed in counted + shown]
        judged = judge_splits(benchmark, table, splits, ground)
        found = outcome(judged[: len(counted)], "splits")
        for seed, each in zip(shown, judged[len(counted) :], strict=True):
            alone = outcome([each], "splits").figures
            found.figures.update({f"{name} seed {seed}": figure for name, figure in alone.items()})
        return found

    def _parts(self, y: Array, seed: int) -> Array:
        """scikit-learn's split, for its seeds are the published ones."""
        from sklearn.model_selection import train_test_split

        _, test = train_test_split(np.arange(len(y)), test_size=self.test_share, stratify=y, random_state=seed)
        parts = np.full(len(y), LEARNT, dtype=object)
        parts[test] = JUDGED
        return parts
