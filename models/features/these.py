"""Reading some rows of a large table: named by their keys and the range they lie in, so that the rest stays shut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.lake.sql import quote_identifier, quote_literal

if TYPE_CHECKING:
    from models.scoring.runtime import Array
    from models.spec import PredictiveSpec

_THESE, _KEY = "__these", "__key_"


def these_rows(spec: PredictiveSpec, keys: pa.Table, time: Array | None) -> tuple[str, dict[str, pa.Table]]:
    """Condition over `t0` for `load_frame`, and the relations that it reads.

    A set of keys alone would have every row group opened to be compared. The ranges of keys and time let DuckDB skip
    row groups and whole files by their statistics; of keys too, for a view may work the time out of two columns.

    Args:
        spec: the solution.
        keys: at least one row, by the key columns' own names or those that a frame gives them.
        time: when the solution acts, datetime64[us] per row; None for a table without time.
    """
    named = keys.rename_columns([name.removeprefix(_KEY) for name in keys.column_names]).select(spec.keys)
    ranges = [(f"t0.{quote_identifier(key)}", *_ends(named.column(key))) for key in spec.keys]
    if spec.split.time and time is not None and not np.isnat(time).any():
        ranges.append((f"CAST(t0.{quote_identifier(spec.split.time)} AS TIMESTAMP)", str(time.min()), str(time.max())))
    within = [f"{column} BETWEEN {quote_literal(low)} AND {quote_literal(high)}" for column, low, high in ranges]
    pairs = " AND ".join(f"d.{quote_identifier(key)} = t0.{quote_identifier(key)}" for key in spec.keys)
    among = f"EXISTS (SELECT 1 FROM {_THESE} AS d WHERE {pairs})"
    return " AND ".join([*within, among]), {_THESE: named}


def _ends(values: pa.ChunkedArray) -> tuple[str, str]:
    found = pc.min_max(values)
    return str(found["min"]), str(found["max"])
