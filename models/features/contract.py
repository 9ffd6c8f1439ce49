"""The features' contract, learnt once on training rows: which columns, of which kind, with which code book."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.features.frame import Frame
from pipelines.control_plan.errors import CellworksError

Array = npt.NDArray[Any]
MAX_CATEGORIES = 254  # both libraries keep one bin per category up to here
_IDENTIFIER_SHARE = 0.5


def _book(column: pa.ChunkedArray) -> list[str]:
    """The most frequent categories, at most `MAX_CATEGORIES`, in order of frequency, then name."""
    counts = pc.value_counts(column.drop_null())
    pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    return [name for name, _ in sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:MAX_CATEGORIES]]


def _number_reason(values: Array) -> str | None:
    """Why a column of numbers carries nothing."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return "all missing"
    if finite.min() == finite.max() and len(finite) == len(values):
        return f"constant ({finite[0]:g})"
    return None


def _category_reason(column: pa.ChunkedArray) -> str | None:
    """Why a column of text carries nothing that can be learnt."""
    present = len(column) - column.null_count
    if present == 0:
        return "all missing"
    distinct = pc.count_distinct(column).as_py()
    if distinct == 1 and present == len(column):
        return "constant"
    if distinct > 20 and distinct > _IDENTIFIER_SHARE * present:
        return f"an identifier: {distinct} different values in {present} rows"
    return None


def learn_contract(frame: Frame) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Learn the contract on training rows.

    Args:
        frame: training rows only, so that no code book has seen the hold-out.

    Returns:
        The contract as `models.scoring.runtime.matrix` reads it, and the dropped columns with reasons.

    Raises:
        CellworksError: no column carries anything.
    """
    features: list[dict[str, Any]] = []
    dropped: dict[str, str] = {}
    for name in frame.selection.numbers:
        reason = _number_reason(np.asarray(frame.table.column(name).to_numpy(), dtype=np.float32))
        if reason is None:
            features.append({"name": name, "kind": "number"})
        else:
            dropped[name] = reason
    for name in frame.selection.categories:
        column = frame.table.column(name)
        reason = _category_reason(column)
        if reason is None:
            features.append({"name": name, "kind": "category", "book": _book(column)})
        else:
            dropped[name] = reason
    if not features:
        raise CellworksError(
            "no feature carries anything",
            found="; ".join(f"{name}: {why}" for name, why in list(dropped.items())[:10]),
            expected="at least one column that varies in the training rows",
        )
    return features, dropped
