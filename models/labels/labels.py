"""Raw target column to what a learner fits; anything that cannot be learnt is refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.solution import NotYetError
from models.spec import PredictiveSpec
from pipelines.control_plan.errors import CellworksError

Array = npt.NDArray[Any]
MIN_LABELLED = 50
MAX_CLASSES = 50


@dataclass(frozen=True)
class Labels:
    """Labels ready to fit.

    Attributes:
        y: float64 per row; class number for classification; NaN where there is no label.
        classes: names by class number; empty for regression. Binary: [other, event].
        infinite: labels that were infinite and count as missing.
    """

    y: Array
    classes: list[str]
    infinite: int = 0

    @property
    def known(self) -> Array:
        """Rows with a label."""
        return ~np.isnan(self.y)


def class_text(value: Any) -> str:
    """One way to write a class: `true`, `3`, `A`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


class LabelsToComeError(NotYetError):
    """Too few labels so far of a target whose labels come later, as in a plant's first days: nobody's mistake."""


def _refuse(spec: PredictiveSpec, found: str, expected: str, mend: str = "") -> CellworksError:
    return CellworksError(
        f"the target '{spec.target.column}' cannot be learnt",
        found=found,
        expected=expected,
        mend=mend,
        where=spec.solution,
    )


def _to_come(spec: PredictiveSpec, n_known: int, n_rows: int) -> LabelsToComeError:
    delay = "" if spec.target.delay_h is None else f"; each has come {spec.target.delay_h:g} h after its row"
    return LabelsToComeError(
        f"the labels of '{spec.target.column}' are still to come",
        found=f"{n_known} of {n_rows} rows have one",
        expected=f"at least {MIN_LABELLED}",
        mend=f"wait{delay}; if they should be there, check the join",
        where=spec.solution,
    )


def _one_class(spec: PredictiveSpec, name: str) -> CellworksError:
    """Of a rare event whose labels come later the first days may hold none: nobody's mistake."""
    found, expected = f"one class only: {name}", "at least two classes"
    if spec.target.known_at is None:
        return _refuse(spec, found, expected)
    return LabelsToComeError(
        f"so far '{spec.target.column}' cannot be learnt",
        found=found,
        expected=expected,
        mend="wait until the event has happened; if it has, look at the target's column",
        where=spec.solution,
    )


def _numeric(spec: PredictiveSpec, column: pa.ChunkedArray) -> Labels:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        raise _refuse(
            spec, f"values of type {column.type}", f"numbers for task {spec.task}", "set task: multiclass or binary"
        )
    y = np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    if spec.target.at_most is not None:
        y = np.minimum(y, spec.target.at_most)
    infinite = int(np.isinf(y).sum())
    y[np.isinf(y)] = np.nan
    return Labels(y, [], infinite)


def _class_numbers(column: pa.ChunkedArray) -> tuple[Array, list[str]]:
    """Class names in order of their text, and each row's number (NaN: no label)."""
    if pa.types.is_floating(column.type):
        values = column.to_numpy()
        column = pa.chunked_array([pa.array(values, from_pandas=True)])
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    names = [class_text(value) for value in encoded.dictionary.to_pylist()]
    order = sorted(range(len(names)), key=lambda place: names[place])
    rank = np.empty(max(len(names), 1))
    rank[order] = np.arange(len(names))
    index = np.asarray(encoded.indices.cast(pa.float64()).to_numpy(zero_copy_only=False))
    y = np.full(len(index), np.nan)
    has = ~np.isnan(index)
    y[has] = rank[index[has].astype(int)]
    return y, [names[place] for place in order]


def _positive(spec: PredictiveSpec, y: Array, classes: list[str]) -> int:
    """Number of the class that is the event: named, else true/1/yes, else the rarer one."""
    if spec.target.positive is not None:
        wanted = class_text(spec.target.positive)
        if wanted not in classes:
            raise _refuse(spec, f"classes {', '.join(classes)}", f"target.positive '{wanted}' among them")
        return classes.index(wanted)
    for usual in ("true", "1", "yes", "True", "Yes"):
        if usual in classes:
            return classes.index(usual)
    return int(np.nansum(y == 1) <= np.nansum(y == 0))


def _binary(spec: PredictiveSpec, column: pa.ChunkedArray) -> Labels:
    y, classes = _class_numbers(column)
    if len(classes) > 2:
        raise _refuse(spec, f"{len(classes)} classes: {', '.join(classes[:8])}", "two classes", "set task: multiclass")
    if len(classes) < 2:
        return Labels(y, classes)
    event = _positive(spec, y, classes)
    if event == 0:
        y, classes = 1.0 - y, [classes[1], classes[0]]
    return Labels(y, classes)


def make_labels(spec: PredictiveSpec, column: pa.ChunkedArray) -> Labels:
    """Labels of a frame.

    Args:
        spec: names the target, the task and the positive class.
        column: raw target; null where not known.

    Returns:
        Labels; every check passed.

    Raises:
        LabelsToComeError: fewer than 50 labelled rows or one class only, and the target says when labels come.
        CellworksError: all null, fewer than 50 labelled rows, one class only, too many classes, a constant.
    """
    if spec.task == "binary":
        labels = _binary(spec, column)
    elif spec.task == "multiclass":
        labels = Labels(*_class_numbers(column))
    else:
        labels = _numeric(spec, column)
    check_labels(spec, labels, len(column))
    return labels


def labels_like(spec: PredictiveSpec, column: pa.ChunkedArray, classes: list[str]) -> Array:
    """Labels by the class numbers of a model made before; NaN where unknown or of a class it does not know.

    Args:
        spec: the task.
        column: raw target.
        classes: the model's classes; not used for numbers.
    """
    if not spec.is_classification:
        return _numeric(spec, column).y
    y, found = _class_numbers(column)
    places = np.asarray([classes.index(name) if name in classes else np.nan for name in found] or [np.nan])
    out = np.full(len(y), np.nan)
    has = ~np.isnan(y)
    out[has] = places[y[has].astype(int)]
    return out


def check_labels(spec: PredictiveSpec, labels: Labels, n_rows: int) -> None:
    """Refuse labels that nothing can be learnt from; see `make_labels`."""
    known = labels.y[labels.known]
    if spec.target.known_at is not None and len(known) < MIN_LABELLED:
        raise _to_come(spec, len(known), n_rows)
    if len(known) == 0:
        raise _refuse(
            spec, f"{n_rows} rows, every label missing", "labels", "wait until labels are known, or check the join"
        )
    if len(known) < MIN_LABELLED:
        raise _refuse(spec, f"{len(known)} labelled rows of {n_rows}", f"at least {MIN_LABELLED} labelled rows")
    if spec.is_classification and len(np.unique(known)) < 2:
        raise _one_class(spec, labels.classes[int(known[0])])
    if spec.task == "multiclass" and len(labels.classes) > MAX_CLASSES:
        raise _refuse(spec, f"{len(labels.classes)} classes", f"at most {MAX_CLASSES} classes", "set task: regression")
    if not spec.is_classification and known.min() == known.max():
        raise _refuse(spec, f"every label is {known[0]:g}", "labels that vary")
