"""Columns of equal length as a dictionary of arrays: all that the twin needs of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Table = dict[str, Array]


def length(table: Mapping[str, Array]) -> int:
    """Number of rows; 0 for a table without columns."""
    return next((len(column) for column in table.values()), 0)


def take(table: Mapping[str, Array], rows: Array) -> Table:
    """Rows by a mask or by positions, in that order."""
    return {name: column[rows] for name, column in table.items()}


def concat(tables: Iterable[Mapping[str, Array]]) -> Table:
    """Tables one below the other, all with the same columns; the empty first one when none has rows."""
    given = list(tables)
    full = [table for table in given if length(table)]
    if not full:
        return dict(given[0]) if given else {}
    return {name: np.concatenate([table[name] for table in full]) for name in full[0]}


def split(table: Table, mask: Array) -> tuple[Table, Table]:
    """Rows where the mask holds, and the others."""
    if not table:
        return {}, {}
    return take(table, mask), take(table, ~mask)


def codes(prefix: str, numbers: Ints, width: int) -> Array:
    """Identifiers such as `MR000123` for running numbers."""
    return np.array([f"{prefix}{number:0{width}d}" for number in numbers.tolist()], dtype=str)
