"""Hold-out and inner folds. Time goes forward, groups stay whole where they can, nothing is left to chance.

With time: the hold-out is the latest groups; the development rows are those finished (label known) before the
first of them, rows of earlier groups that finished later are left out, and so is a row whose time is missing. Where
groups last over the whole period, the cut goes by time alone, with a note for the model card. Without time: a hash of
the group or key decides, by class, so that a row stays on its side from one night to the next.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from models.features.frame import Frame
from models.scoring.runtime import Array
from models.spec import PredictiveSpec
from pipelines.control_plan.errors import CellworksError

_LEAST_VALIDATED = 5  # rows of a fold
_TICK = np.timedelta64(1, "us")


@dataclass(frozen=True)
class Order:
    """What a cut goes by, per row.

    Attributes:
        finish: when the row's outcome was known, datetime64[us]; NaT where that, or the row's time, is missing; None
            for a table without time.
        group: group number; each row its own where there is no group.
        start: earliest finish of the row's group; NaT where the row's own is missing.
        draw: stable number in [0, 1) from the group or the keys.
        stratum: class number for classification without groups, else 0.
        held: whether a column says that the row is held out; None where none does.
    """

    finish: Array | None
    group: Array
    start: Array | None
    draw: Array
    stratum: Array
    held: Array | None = None

    def moments(self) -> tuple[Array, Array]:
        """Finish and start of a table with time.

        Raises:
            ValueError: the table has no time.
        """
        if self.finish is None or self.start is None:
            raise ValueError("no time to cut by")
        return self.finish, self.start


@dataclass(frozen=True)
class Cut:
    """The rule that parts hold-out from development; as JSON it travels with the model."""

    kind: str
    after: str | None = None
    is_grouped: bool = True
    below: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": self.kind, "after": self.after, "is_grouped": self.is_grouped, "below": self.below}

    def holds_out(self, order: Order) -> Array:
        """Rows that the model of this cut has not seen, later than its cut-off."""
        if self.kind == "part":
            return np.zeros(len(order.group), dtype=bool) if order.held is None else order.held
        if self.kind == "time":
            moment = order.start if self.is_grouped else order.finish
            if moment is None or self.after is None:
                return np.zeros(len(order.group), dtype=bool)
            return np.asarray(moment > np.datetime64(self.after))
        limits = np.asarray([self.below.get(str(int(s)), self.below.get("0", 0.0)) for s in range(_strata(order))])
        return np.asarray(order.draw < limits[order.stratum])


@dataclass(frozen=True)
class Split:
    """Row numbers of the labelled rows on each side, the rule, and remarks for the model card."""

    development: Array
    holdout: Array
    cut: Cut
    notes: list[str]


def _strata(order: Order) -> int:
    return int(order.stratum.max()) + 1 if len(order.stratum) else 1


def _texts(frame: Frame) -> list[str]:
    """The keys of each row as one text."""
    columns = [frame.table.column(f"__key_{key}").to_pylist() for key in frame.keys]
    return [str(row) for row in zip(*columns, strict=True)]


def _draws(texts: list[str]) -> Array:
    """Each text to a number in [0, 1), the same on every machine."""
    scale = float(2**64)
    return np.asarray([int.from_bytes(hashlib.blake2b(t.encode(), digest_size=8).digest()) / scale for t in texts])


def _groups(frame: Frame) -> tuple[Array, list[str] | None]:
    """Group numbers and group names; a row without group belongs to its day (or to itself)."""
    if frame.group is None:
        return np.arange(frame.n_rows), None
    names = frame.group.to_pylist()
    days = frame.time.astype("datetime64[D]").astype(str).tolist() if frame.time is not None else range(frame.n_rows)
    filled = [f"~{day}" if name is None else name for name, day in zip(names, days, strict=True)]
    distinct, codes = np.unique(np.asarray(filled, dtype=object).astype(str), return_inverse=True)
    return codes, distinct.tolist()


def make_order(frame: Frame, y: Array, spec: PredictiveSpec) -> Order:
    """What the cuts of a frame go by.

    Args:
        frame: all rows, with keys, time, known-at and group.
        y: labels, NaN where unknown.
        spec: says whether classes are to be kept in proportion.
    """
    finish = frame.known_at if frame.known_at is not None else frame.time
    if finish is not None and frame.time is not None:
        finish = np.where(np.isnat(frame.time), np.datetime64("NaT", "us"), finish)
    codes, names = _groups(frame)
    known = ~np.isnan(y)
    if finish is not None and not _can_cut(finish[known]):
        finish = None
    start = None
    if finish is not None:
        dated = known & ~np.isnat(finish)
        first = np.full(int(codes.max()) + 1, np.datetime64("9999-01-01", "us"))
        np.minimum.at(first, codes[dated], finish[dated])
        start = np.where(known & ~dated, np.datetime64("NaT", "us"), first[codes])
    is_stratified = spec.is_classification and names is None
    stratum = np.where(known, y, 0).astype(int) if is_stratified else np.zeros(len(y), dtype=int)
    held = None if frame.part is None else np.isin(frame.part.to_pylist(), spec.split.holdout_parts)
    if finish is not None:
        return Order(finish, codes, start, np.zeros(len(y)), np.zeros(len(y), dtype=int), held)
    draw = _draws(names)[codes] if names is not None else _draws(_texts(frame))
    return Order(None, codes, None, draw, stratum, held)


def _can_cut(moment: Array) -> bool:
    """Whether the labelled rows lie at different moments; where most have none, `make_split` tells and refuses."""
    there = moment[~np.isnat(moment)]
    return 2 * len(there) < len(moment) or len(np.unique(there)) > 1


def _time_cut(moment: Array, ratio: float) -> np.datetime64:
    """The latest moment such that at least `ratio` of the rows start after it."""
    rising = np.sort(moment)
    first = rising[min(len(rising) - 1, int(np.floor(len(rising) * (1 - ratio))))]
    return np.datetime64(first - _TICK)


def _try_time(order: Order, rows: Array, ratio: float, is_grouped: bool) -> tuple[Array, Array, Cut]:
    finish, start = order.moments()
    moment = start if is_grouped else finish
    after = _time_cut(moment[rows], ratio)
    holdout = rows[moment[rows] > after]
    development = rows[(moment[rows] <= after) & (finish[rows] <= after)]
    return development, holdout, Cut("time", str(after), is_grouped)


def _by_time(order: Order, rows: Array, ratio: float) -> Split:
    development, holdout, cut = _try_time(order, rows, ratio, is_grouped=True)
    if len(development) >= 0.3 * len(rows):
        return Split(development, holdout, cut, [])
    development, holdout, cut = _try_time(order, rows, ratio, is_grouped=False)
    note = "groups reach over the whole period: the hold-out is later in time, its groups are not all new"
    return Split(development, holdout, cut, [note])


def _by_draw(order: Order, rows: Array, ratio: float) -> Split:
    below: dict[str, float] = {}
    for stratum in np.unique(order.stratum[rows]):
        draws = np.sort(order.draw[rows][order.stratum[rows] == stratum])
        below[str(int(stratum))] = float(draws[min(len(draws) - 1, round(len(draws) * ratio))])
    cut = Cut("draw", below=below)
    out = cut.holds_out(order)[rows]
    return Split(rows[~out], rows[out], cut, ["no time column: the hold-out is drawn by a hash of the key"])


def make_split(order: Order, y: Array, spec: PredictiveSpec) -> Split:
    """Part the labelled rows into development and hold-out.

    Args:
        order: see `make_order`.
        y: labels, NaN where unknown; unlabelled rows, and rows without time in a table with time, are on neither side.
        spec: the hold-out's ratio.

    Returns:
        The split with its rule.

    Raises:
        CellworksError: most labelled rows have no time.
    """
    rows = np.flatnonzero(~np.isnan(y))
    if order.held is not None:
        note = f"the hold-out is what '{spec.split.part}' says"
        return Split(rows[~order.held[rows]], rows[order.held[rows]], Cut("part"), [note])
    if order.finish is None:
        return _by_draw(order, rows, spec.split.holdout_ratio)
    undated = np.isnat(order.finish[rows])
    told = _left_out(spec, undated)
    split = _by_time(order, rows[~undated], spec.split.holdout_ratio)
    return replace(split, notes=[*told, *split.notes])


def _left_out(spec: PredictiveSpec, undated: Array) -> list[str]:
    """The remark on labelled rows without time; most of them without one are refused."""
    if not undated.any():
        return []
    columns = " or ".join(f"'{name}'" for name in (spec.split.time, spec.target.known_at) if name)
    found = f"{int(undated.sum()):,} of {len(undated):,} labelled rows"
    if 2 * undated.sum() > len(undated):
        raise CellworksError(
            f"most rows have no time: {columns} is missing",
            expected="a time in at least half of the labelled rows; the others are left out",
            found=f"{found} without it",
            mend="fill the column in, or take it out of the solution: the hold-out is then drawn by a hash of the key",
            where=spec.solution,
        )
    return [f"{found} are left out: {columns} is missing"]


def _time_folds(order: Order, rows: Array, folds: int, is_grouped: bool) -> list[tuple[Array, Array]]:
    """Growing windows: trained on what finished before a moment, validated on the groups that start after it."""
    finish, start = order.moments()
    moment = (start if is_grouped else finish)[rows]
    step = 0.6 / folds
    edges = [_time_cut(moment, 1 - (0.4 + step * place)) for place in range(folds)] + [moment.max()]
    out = []
    for before, until in pairwise(edges):
        train = rows[(moment <= before) & (finish[rows] <= before)]
        valid = rows[(moment > before) & (moment <= until)]
        out.append((train, valid))
    return out


def _draw_folds(order: Order, rows: Array, folds: int) -> list[tuple[Array, Array]]:
    """Folds by the draw, classes in proportion; at least two, for there is no forward here.

    Fewer than asked for where they would hold too few rows to validate on: each row is in one of them.
    """
    folds = max(2, min(folds, len(rows) // _LEAST_VALIDATED))
    draw, stratum = order.draw[rows], order.stratum[rows]
    fold = np.zeros(len(rows), dtype=int)
    for name in np.unique(stratum):
        inside = np.flatnonzero(stratum == name)
        # Rank of the group's draw, so that rows of one group (equal draws) fall into one fold.
        _, rank = np.unique(draw[inside], return_inverse=True)
        fold[inside] = rank * folds // (int(rank.max()) + 1)
    return [(rows[fold != place], rows[fold == place]) for place in range(folds)]


def _is_usable(train: Array, valid: Array, y: Array, spec: PredictiveSpec) -> bool:
    if len(train) < 20 or len(valid) < _LEAST_VALIDATED:
        return False
    if spec.task == "binary":
        return len(np.unique(y[train])) == 2 and len(np.unique(y[valid])) == 2
    return len(np.unique(y[train])) > 1


def inner_folds(
    order: Order, rows: Array, y: Array, spec: PredictiveSpec, cut: Cut
) -> tuple[list[tuple[Array, Array]], list[str]]:
    """Folds of the development rows for the search, calibration and intervals.

    Args:
        order: see `make_order`.
        rows: development rows.
        y: labels.
        spec: number of folds.
        cut: the outer rule; says whether groups or moments part the folds.

    Returns:
        (train rows, validation rows) per usable fold, and remarks. At least one fold.
    """
    folds: list[tuple[Array, Array]] = []
    if order.finish is not None:
        folds = _time_folds(order, rows, spec.split.folds, cut.is_grouped)
        folds = [pair for pair in folds if _is_usable(*pair, y, spec)]
        if folds:
            return folds, []
    notes = []
    by_class = order
    if order.finish is not None:
        notes.append("no time-forward fold holds both classes: the inner folds are drawn at random (seeded)")
        draw = np.random.default_rng(spec.search.seed).random(len(y))[
            order.group if cut.is_grouped else np.arange(len(y))
        ]
        stratum = np.where(np.isnan(y), 0, y).astype(int) if spec.is_classification else order.stratum
        by_class = Order(None, order.group, None, draw, stratum)
    folds = [pair for pair in _draw_folds(by_class, rows, spec.split.folds) if _is_usable(*pair, y, spec)]
    if not folds:
        half = len(rows) // 2
        folds = [(rows[:half], rows[half:])]
        notes.append("too few rows of a class for folds: one half validates the other")
    return folds, notes
