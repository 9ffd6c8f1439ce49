"""Live skill: predictions made before the label was known, against the label, per day with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.evaluation.bootstrap import metric_interval
from models.evaluation.metrics import HIGHER_IS_BETTER, Metric, roc_auc
from models.features.frame import EmptyTableError, Frame, load_frame
from models.labels.labels import labels_like
from models.scoring.runtime import Array
from models.scoring.table import relation
from models.spec import PredictiveSpec
from models.splits.splits import Cut, Order, make_order
from pipelines.lake.connection import reader
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import has_table

if TYPE_CHECKING:
    from pipelines.control_plan.site import Site

_MIN_ROWS = 20
# An interval resampled over fewer groups is far too narrow, or none at all.
_MIN_GROUPS = 5


@dataclass(frozen=True)
class LiveDay:
    """A metric of one day (None: all days together) with its 95 % interval, None where too few groups give one.

    The day is the site's production day of when the solution acted; the UTC date without a site.
    """

    production_day: date | None
    metric: str
    value: float
    low: float | None
    high: float | None
    rows: int

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return self.metric in HIGHER_IS_BETTER


def _predictions(spec: PredictiveSpec, ctx: ModelContext, version: int) -> pa.Table | None:
    """A version's first prediction of each entity: later ones may have been made with the label in sight."""
    with reader(ctx.home) as con:
        if not has_table(con, "solutions", spec.slug):
            return None
        keys = ", ".join(quote_identifier(key) for key in spec.keys)
        columns = ("value", "low", "high", "class", "predicted_at")
        first = ", ".join(f"arg_min({quote_identifier(c)}, scored_at) AS {quote_identifier('__' + c)}" for c in columns)
        return con.execute(
            f"SELECT {keys}, {first} FROM {relation(spec.slug)} WHERE model_version = ? GROUP BY {keys}", [version]
        ).to_arrow_table()


def _join(spec: PredictiveSpec, ctx: ModelContext, predicted: pa.Table) -> tuple[Frame, pa.Table] | None:
    """Frame of the predicted entities with labels, and their predictions in the same order."""
    pairs = " AND ".join(f"d.{quote_identifier(key)} = t0.{quote_identifier(key)}" for key in spec.keys)
    bare = spec.model_copy(update={"slices": [], "baseline": spec.baseline.model_copy(update={"column": None})})
    try:
        frame = load_frame(
            bare,
            ctx,
            columns=[],
            where=f"EXISTS (SELECT 1 FROM __predicted AS d WHERE {pairs})",
            relations={"__predicted": predicted},
        )
    except EmptyTableError:
        return None
    # Answers hold every whole number as a long one, whatever the table's own type; a join wants the same on both sides.
    own = {key: frame.table[f"__key_{key}"].cast(predicted.schema.field(key).type) for key in spec.keys}
    place = pa.table({**own, "__row": pa.array(np.arange(frame.n_rows))})
    both = place.join(predicted, keys=spec.keys, join_type="inner").sort_by("__row")
    return frame, both


def _metrics(spec: PredictiveSpec, classes: list[str], y: Array, rows: pa.Table) -> dict[str, Metric]:
    """What can be said from the stored columns alone."""
    value = np.asarray(rows.column("__value").to_numpy())
    if spec.task == "binary":
        square = (y - value) ** 2
        return {"roc_auc": roc_auc(y, value), "brier": lambda w: float(square @ w / w.sum())}
    if spec.task == "multiclass":
        names = np.asarray(classes, dtype=object)[y.astype(int)]
        right = (names == np.asarray(rows.column("__class").to_pylist(), dtype=object)).astype(float)
        return {"accuracy": lambda w: float(right @ w / w.sum())}
    error = y - value
    low, high = (np.asarray(rows.column(name).to_numpy()) for name in ("__low", "__high"))
    inside = ((y >= low) & (y <= high)).astype(float)
    return {
        "rmse": lambda w: float(np.sqrt((error**2) @ w / w.sum())),
        "mae": lambda w: float(np.abs(error) @ w / w.sum()),
        "coverage": lambda w: float(inside @ w / w.sum()),
    }


def _days(frame: Frame, rows: pa.Table, site: Site | None) -> Array:
    """The day each row belongs to: when it acted, else when its label was known, else when it was predicted.

    It is the site's production day; the UTC date without a site.
    """
    moment = frame.time if frame.time is not None else frame.known_at
    if moment is None:
        moment = rows.column("__predicted_at").to_numpy()
    return production_days(np.asarray(moment).astype("datetime64[us]"), site)


def production_days(moment: Array, site: Site | None) -> Array:
    """Moments (datetime64[us], UTC) to the site's production days; to UTC dates without a site."""
    if site is not None:
        # A zone's offset changes at quarters of an hour, so each of them is looked up once, whatever the rows.
        quarters, place = np.unique(moment.astype("datetime64[15m]"), return_inverse=True)
        shifts = [0 if each is None else site.day_shift(each) for each in quarters.astype("datetime64[s]").tolist()]
        moment = moment + np.asarray(shifts, dtype="timedelta64[us]")[place]
    return np.asarray(moment.astype("datetime64[D]"))


def _figures(
    spec: PredictiveSpec, classes: list[str], y: Array, part: pa.Table, groups: Array, day: Any
) -> list[LiveDay]:
    out = []
    for name, metric in _metrics(spec, classes, y, part).items():
        figure = metric_interval(metric, groups, spec.search.seed)
        if np.isfinite(figure.value):
            is_known = figure.groups >= _MIN_GROUPS and np.isfinite([figure.low, figure.high]).all()
            low, high = (figure.low, figure.high) if is_known else (None, None)
            out.append(LiveDay(day, name, figure.value, low, high, len(y)))
    return out


def _honest(frame: Frame, known: Array, rows: pa.Table, cut: Cut, order: Order) -> Array:
    """Rows whose prediction owes nothing to the label.

    It was made before the label was known; where the table does not say when that was, the row lies beyond the
    version's cut-off.
    """
    if frame.known_at is None:
        return np.asarray(known & cut.holds_out(order))
    return np.asarray(known & (rows.column("__predicted_at").to_numpy().astype("datetime64[us]") <= frame.known_at))


def live_skill(spec: PredictiveSpec, ctx: ModelContext, version: int, bundle: dict[str, Any]) -> list[LiveDay]:
    """Live figures of a version.

    Args:
        spec: the solution.
        ctx: labels known as of its moment count.
        version: model version.
        bundle: its `bundle.json`, for its classes and cut-off.

    Returns:
        Figures of each day with at least 20 labelled predictions, and of all together (`production_day` None).
    """
    predicted = _predictions(spec, ctx, version)
    joined = _join(spec, ctx, predicted) if predicted is not None and predicted.num_rows else None
    if joined is None or joined[0].target is None:
        return []
    frame, rows = joined
    classes: list[str] = bundle["classes"]
    y = labels_like(spec, joined[0].target, classes)
    order = make_order(frame, y, spec)
    chosen = np.flatnonzero(_honest(frame, ~np.isnan(y), rows, Cut(**bundle["record"]["cut"]), order))
    if len(chosen) < _MIN_ROWS:
        return []
    days = _days(frame, rows, ctx.site)
    out = []
    for day in np.unique(days[chosen]):
        index = chosen[days[chosen] == day]
        if len(index) >= _MIN_ROWS:
            out += _figures(spec, classes, y[index], rows.take(pa.array(index)), order.group[index], day.item())
    return out + _figures(spec, classes, y[chosen], rows.take(pa.array(chosen)), order.group[chosen], None)
