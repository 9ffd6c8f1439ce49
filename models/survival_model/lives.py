"""What is known of each row's remaining life: where it ended, or between which bounds it must."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.context import ModelContext
from models.features.frame import Frame, load_frame
from models.labels.labels import Labels, make_labels
from models.prepare import Prepared, checked
from models.scoring.runtime import Array, numbers
from models.splits.splits import Cut, Order, Split, make_order, make_split
from models.survival_model.spec import SurvivalSpec
from pipelines.control_plan.errors import CellworksError


@dataclass(frozen=True)
class Lives:
    """Bounds of the remaining life per row, in the target's unit.

    Attributes:
        lower: The life lasts so long at least; NaN where nothing is known.
        upper: And so long at most: `lower` where its end is known, infinite where it was not seen to end.
        age: Life used up at the row; None where no column says.
    """

    lower: Array
    upper: Array
    age: Array | None

    @property
    def is_exact(self) -> Array:
        """Rows whose remaining life is known."""
        return np.asarray(self.lower == self.upper)

    def take(self, rows: Array) -> Lives:
        """The bounds of some rows."""
        return Lives(self.lower[rows], self.upper[rows], None if self.age is None else self.age[rows])

    def capped(self, at_most: float | None) -> Lives:
        """Lives longer than the cap count as the cap, which is known as soon as they have lasted so long."""
        if at_most is None:
            return self
        is_lost = np.isinf(self.upper) & (self.lower < at_most)
        upper = np.where(is_lost, np.inf, np.minimum(self.upper, at_most))
        return Lives(np.minimum(self.lower, at_most), upper, self.age)

    def seen_until(self, last_age: Array, goes_on: Array) -> Lives:
        """What was known when each row's life was of a given age: an end that came later had not been seen.

        Args:
            last_age: age at which the life was last seen, per row.
            goes_on: whether it was seen later as well.

        Raises:
            ValueError: the ages are not known.
        """
        if self.age is None:
            raise ValueError("without ages it is not known what had been seen")
        seen = np.minimum(self.lower, np.maximum(last_age - self.age, 0.0))
        return Lives(np.where(goes_on, seen, self.lower), np.where(goes_on, np.inf, self.upper), self.age)


@dataclass
class PreparedLives(Prepared):
    """Rows, order and cut, with what is known of the lives.

    Attributes:
        lives: As known today, capped.
        learnt: As known when the hold-out began, capped: what training may see.
        whole: As known today, without the cap.
        learnt_whole: As known when the hold-out began, without the cap.
    """

    lives: Lives
    learnt: Lives
    whole: Lives
    learnt_whole: Lives


def read_lives(spec: SurvivalSpec, frame: Frame) -> Lives:
    """Bounds of a frame that was read with its labels.

    Raises:
        CellworksError: a life is negative, or an upper bound lies below its lower one.
    """
    target = spec.target
    uncapped = spec.model_copy(update={"target": target.model_copy(update={"at_most": None})})
    lower = make_labels(uncapped, frame.raw_target()).y
    upper = lower.copy()
    if target.event is not None:
        event = numbers(frame.beside[target.event])
        upper = np.where(event == 1, lower, np.inf)
    elif target.upper is not None:
        bound = numbers(frame.beside[target.upper]).astype(np.float64)
        upper = np.where(np.isnan(bound), np.inf, bound)
    upper[np.isnan(lower)] = np.nan
    _check(spec, lower, upper)
    age = None if target.age is None else numbers(frame.beside[target.age]).astype(np.float64)
    return Lives(lower, upper, age)


def _check(spec: SurvivalSpec, lower: Array, upper: Array) -> None:
    wrong = (lower < 0) | (upper < lower)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise CellworksError(
            "a remaining life cannot be",
            expected="zero or more, and no upper bound below it",
            found=f"{int(wrong.sum())} rows, the first with {lower[place]:g} to {upper[place]:g}",
            mend=f"look at {spec.target.column}" + (f" and {spec.target.upper}" if spec.target.upper else ""),
            where=spec.solution,
        )
    ended = np.isfinite(upper)
    if not ended.any():
        raise CellworksError(
            "no life has ended yet, so there is nothing to learn from",
            expected="lives that ended",
            found=f"{int((~np.isnan(lower)).sum())} rows of lives that go on",
            mend="wait, or check target.event",
            where=spec.solution,
        )


def prepare_lives(spec: SurvivalSpec, ctx: ModelContext, columns: list[str] | None = None) -> PreparedLives:
    """Read and check the rows of a solution for remaining life and cut the hold-out.

    With time the hold-out is the lives that began after the cut. Rows of lives that began before it and ended after are
    learnt from as what they were then: not ended. Leaving them out would teach short lives only.

    Args:
        spec: the solution.
        ctx: snapshot and moment.
        columns: exactly these features; None: what the YAML selects.

    Raises:
        CellworksError: nothing can be learnt from the table, with the reason.
    """
    target = spec.target
    beside = [name for name in (target.event, target.upper, target.age) if name is not None]
    frame = load_frame(spec, ctx, columns=columns, beside=beside)
    whole = read_lives(spec, frame)
    # A row may be used as soon as it is there: what is not known of it yet is its end, and that is said by its bounds.
    order = make_order(replace(frame, known_at=None), whole.lower, spec)
    split = make_split(order, whole.lower, spec)
    learnt = _as_learnt(spec, order, split, whole)
    labels = Labels(whole.capped(target.at_most).lower, [])
    prepared = checked(spec, Prepared(frame, labels, order, split))
    return PreparedLives(
        prepared.frame,
        prepared.labels,
        prepared.order,
        prepared.split,
        whole.capped(target.at_most),
        learnt.capped(target.at_most),
        whole,
        learnt,
    )


def _as_learnt(spec: SurvivalSpec, order: Order, split: Split, whole: Lives) -> Lives:
    """The bounds as known at the cut; a cut without time hides nothing."""
    if split.cut.kind != "time":
        return whole
    if whole.age is None:
        raise CellworksError(
            "a cut in time needs the age of the lives, to know what had been seen of them then",
            expected="target.age: the column of the age, in the target's unit",
            found="split.time without target.age",
            where=f"{spec.solution}: target",
        )
    return whole.seen_until(*last_seen(order, split.cut, whole.age))


def last_seen(order: Order, cut: Cut, age: Array) -> tuple[Array, Array]:
    """Of each row's life its greatest age until the cut (minus infinity: it began later), and whether it went on."""
    finish, _ = order.moments()
    is_known = ~np.isnan(age)
    before = is_known & (finish <= np.datetime64(str(cut.after)))
    oldest = np.full(int(order.group.max()) + 1, -np.inf)
    np.maximum.at(oldest, order.group[before], age[before])
    goes_on = np.zeros(len(oldest), dtype=bool)
    goes_on[order.group[is_known & ~before]] = True
    return np.asarray(oldest[order.group]), goes_on[order.group]
