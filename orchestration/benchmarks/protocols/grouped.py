"""Whole groups are judged that were not learnt from, each group once: another engine, another tool, another lot."""

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
        column: names the group of a row.
        among: column and values of the rows that take part; all rows by default.
        folds: into which the groups are drawn, each judged once.
        cuts: rows of a judged group that are judged, drawn; all by default.
    """

    drawn: ClassVar[str] = "folds"
    kind: Literal["grouped"]
    column: str
    among: dict[str, list[str]] = Field(default_factory=dict)
    folds: int = Field(default=5, ge=2)
    cuts: int | None = Field(default=None, ge=1)

    def told(self) -> str:
        """The protocol in words."""
        cuts = "all rows" if self.cuts is None else f"{self.cuts} rows drawn"
        return f"{self.folds} folds by {self.column}, {cuts} of each judged group; the mean over the folds counts"

    def parted(self, table: pa.Table, *, quick: bool) -> list[Split]:
        """Each fold of groups once."""
        group = np.asarray(table.column(self.column).to_pylist(), dtype=object)
        for column, values in self.among.items():
            group[~np.isin(np.asarray(table.column(column).to_pylist(), dtype=object), values)] = None
        there = np.asarray([each is not None for each in group])
        names = np.random.default_rng(0).permutation(np.unique(group[there].astype(str)))
        splits = []
        for place in range(1 if quick else self.folds):
            held = np.isin(group, names[place :: self.folds])
            parts = np.full(table.num_rows, None, dtype=object)
            parts[there], parts[held] = LEARNT, JUDGED
            splits.append(Split(place, parts, None if self.cuts is None else ~held | _cut(group, held, self.cuts)))
        return splits


def _cut(group: Array, held: Array, cuts: int) -> Array:
    """Rows drawn of each judged group; a group with fewer gives all."""
    rng = np.random.default_rng(0)
    out = np.zeros(len(group), dtype=bool)
    for name in np.unique(group[held].astype(str)):
        rows = np.flatnonzero(held & (group == name))
        out[rng.choice(rows, min(cuts, len(rows)), replace=False)] = True
    return out
