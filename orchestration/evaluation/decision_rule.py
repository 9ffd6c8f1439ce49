"""Does a rule decide as its standard says? Its decisions are worked out again from the rows, by other means."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.decision_rule.site_grades import bound
from models.decision_rule.spec import Conformance, DecisionSpec, Due, Grading, Screen
from models.solution import SolutionSpec
from orchestration.evaluation import iso2859
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.rows import beside_rows, newest_answers
from pipelines.lake.home import Home

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

_DRAWS = 200_000
_LIMIT_ERROR = 0.03
"""Share by which two simulated limits may differ; rows so near to the limit are not compared."""


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Decide every row anew and compare with what was told."""
    own, night = bound(cast("DecisionSpec", spec), ground.site), ground.evidence(spec).night or {}
    home = cast("Home", ground.home)
    answers = newest_answers(own, home, str(night.get("champion_version")))
    if not answers.num_rows:
        return Evaluation("not_run", "it has decided nothing yet")
    times = [own.time] if own.time else []
    table = beside_rows(own, home, answers, [*own.rule.texts, *own.rule.numbers, *times])
    return judged(own, table, cast("datetime", night["at"]))


def judged(spec: DecisionSpec, table: pa.Table, now: datetime) -> Evaluation:
    """Compare decisions with those worked out anew.

    Args:
        spec: the rule.
        table: decisions (`class`, `reasons`) beside the columns of their rows (`row_<column>`).
        now: the plant's now (UTC, naive) of the newest decisions.
    """
    told = np.asarray(table.column("class").to_pylist(), dtype=object)
    if spec.screen is not None:
        expected, is_clear = _screened(spec.screen, table)
    elif spec.grading is not None:
        expected, is_clear = _graded(spec.grading, table), np.ones(len(told), dtype=bool)
    elif spec.conformance is not None:
        at = table.column(f"row_{spec.time}").to_numpy()
        expected, is_clear = _conforming(spec.conformance, table, at, now), np.ones(len(told), dtype=bool)
    elif spec.due is not None:
        at = table.column(f"row_{spec.time}").to_numpy()
        expected, is_clear = _due(spec.due, table, at, now), np.ones(len(told), dtype=bool)
    else:
        expected = iso2859.decided(spec, table)
        is_clear = np.ones(len(told), dtype=bool)
    agree = int(np.count_nonzero((expected == told) & is_clear))
    compared = int(np.count_nonzero(is_clear))
    without = int(pc.sum(pc.cast(pc.is_null(table.column("reasons")), pa.int64())).as_py() or 0)
    undecided = table.column("class").null_count
    lines = [
        Line(
            "all of them", f"{agree:,} of {compared:,} decisions are the same when worked out anew", agree == compared
        ),
        Line("a decision and its reason for each row", f"{without:,} of {len(told):,} rows have none", without == 0),
    ]
    if spec.sampling is not None:
        wrong = iso2859.wrong_oracles()
        lines.append(Line("none", f"{len(wrong)} of the standard's own figures differ", not wrong))
    return verdict(
        lines,
        metric="decisions that agree with those worked out anew",
        value=agree / compared if compared else None,
        baseline=None,
        threshold=1.0,
        figures={"rows": len(told), "compared": compared, "undecided": undecided},
    )


def _numbers(table: pa.Table, name: str) -> Array:
    values = np.asarray(pc.cast(table.column(f"row_{name}"), pa.float64()).to_numpy(), dtype=np.float64).copy()
    values[~np.isfinite(values)] = np.nan
    return values


def _screened(rule: Screen, table: pa.Table) -> tuple[Array, Array]:
    """Classes by median and MAD in numpy, the limit drawn anew; and which rows are not too near to it to compare."""
    import pandas as pd

    x = _numbers(table, rule.column)
    frame = pd.DataFrame({name: table.column(f"row_{name}").to_pylist() for name in rule.group})
    if rule.scale == "log":
        x = np.log(x, where=x > 0, out=np.full(len(x), np.nan))
    frame["x"] = np.where(frame[rule.group].isna().any(axis=1), np.nan, x)
    grouped = frame.groupby(rule.group, dropna=False)["x"]
    frame["off"] = frame["x"] - grouped.transform("median")
    frame["mad"] = frame["off"].abs().groupby([frame[name] for name in rule.group], dropna=False).transform("median")
    peers = grouped.transform("count").to_numpy()
    away = (frame["off"] / (1.4826 * frame["mad"].replace(0.0, np.nan))).to_numpy()
    away = {"above": away, "below": -away, "both": np.abs(away)}[rule.side]
    limits = {int(n): _farthest(int(n), rule.chance, rule.side) for n in np.unique(peers) if n >= rule.min_peers}
    share = away / np.array([limits.get(int(n), np.nan) for n in peers])
    classes = np.full(len(x), None, dtype=object)
    classes[share <= 1], classes[share > 1] = "usual", "outlier"
    return classes, ~(np.abs(share - 1) < _LIMIT_ERROR)


def _farthest(n: int, chance: float, side: str) -> float:
    """How far the farthest of n good values lies from their median with a chance, in robust standard deviations."""
    drawn = np.random.default_rng(10_000 + n).standard_normal((max(_DRAWS // n, 20_000), n))
    away = drawn - np.median(drawn, axis=1, keepdims=True)
    far = np.abs(away).max(axis=1) if side == "both" else away.max(axis=1)
    return float(np.quantile(far / (1.4826 * np.median(np.abs(away), axis=1)), 1 - chance))


def _graded(rule: Grading, table: pa.Table) -> Array:
    """The first class whose limits a row keeps."""
    x = {name: _numbers(table, name) for name in rule.numbers}
    classes = np.full(table.num_rows, rule.otherwise, dtype=object)
    for grade in reversed(rule.written):
        kept = np.ones(table.num_rows, dtype=bool)
        for name, limit in grade.limits.items():
            low = -np.inf if limit.at_least is None else limit.at_least
            high = np.inf if limit.at_most is None else limit.at_most
            kept &= (x[name] >= low) & (x[name] <= high)
        classes[kept] = grade.name
    lacking = np.any([np.isnan(values) for values in x.values()], axis=0)
    classes[lacking] = None
    return classes


def _conforming(rule: Conformance, table: pa.Table, at: Array, now: datetime) -> Array:
    """What a certificate tells by itself first, then beside the plan's limits, then beside our own measurement."""
    stated, low, high, found, gauge = (_numbers(table, name) for name in rule.numbers)
    has_unit = ~np.asarray(pc.is_null(table.column(f"row_{rule.unit}")).to_numpy(zero_copy_only=False), dtype=bool)
    is_due = at + np.timedelta64(round(rule.missing_after_h * 3600), "s") <= np.datetime64(now)
    with np.errstate(invalid="ignore"):
        is_out = (stated < low) | (stated > high)
        apart, most = np.abs(stated - found), rule.most_deviations * np.sqrt(2) * gauge
        classes = np.full(len(stated), None, dtype=object)
        classes[apart <= most] = "conforms"
        classes[apart > most] = "differs"
    classes[is_out] = "out_of_limits"
    classes[np.isnan(stated)] = None
    classes[np.isnan(stated) & has_unit] = "unit"
    classes[np.isnan(stated) & ~has_unit & is_due] = "missing"
    return classes


def _due(rule: Due, table: pa.Table, at: Array, now: datetime) -> Array:
    """What became of each time, by a walk through those of one gauge from the last to the first."""
    due = np.asarray(table.column(f"row_{rule.due}").to_pylist(), dtype="datetime64[us]")
    error, tolerance = _numbers(table, rule.found), _numbers(table, rule.tolerance)
    gauges = list(zip(*(table.column(f"row_{name}").to_pylist() for name in rule.of), strict=True))
    booked = np.datetime64(now) - np.timedelta64(round(rule.booked_within_h * 3600), "s")
    classes = np.full(len(at), None, dtype=object)
    followed_by: dict[tuple[Any, ...], Any] = {}
    for row in np.argsort(at, kind="stable")[::-1]:
        following = followed_by.get(gauges[row])
        if abs(error[row]) > tolerance[row]:
            classes[row] = "off"
        elif (booked if following is None else following) > due[row]:
            classes[row] = "overdue"
        elif following is not None:
            classes[row] = "kept"
        followed_by[gauges[row]] = at[row]
    return classes
