"""A detector at work: learnt on a stretch of rows, at once or again every night, and what it says of later rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from models.anomaly_detector.alarms import raised
from models.anomaly_detector.ground import Rows
from models.anomaly_detector.learn_rows import learn_rows
from models.anomaly_detector.learn_series import learn_series
from models.anomaly_detector.runtime import Array, Scorer
from models.anomaly_detector.spec import AnomalySpec
from models.solution import NotYetError

_DAY_S = 86_400.0
_REACH = 5.0  # windows' lengths that the oldest predictor of a window reaches back


def learn(spec: AnomalySpec, rows: Rows) -> dict[str, Any]:
    """The bundle of a detector that knows these rows and no other.

    Raises:
        NotYetError: they are too few for a limit.
    """
    budget: dict[str, float] = {"per_week": spec.alarms.per_week, "hold_off_s": spec.hold_off_s}
    if spec.series is not None:
        bundle, _ = learn_series(rows.table, rows.columns, spec.series.windows_h, **budget)
    else:
        windows_h = spec.streams.windows_h if spec.streams else ()
        bundle, _ = learn_rows(rows.table, rows.columns, rows.entity, seed=spec.seed, windows_h=windows_h, **budget)
    if not 0 < bundle["limit"] < np.inf:
        raise NotYetError(
            "there is not yet enough to set a limit by",
            expected="at least 7 stretches as long as alarms.hold_off_h, with numbers that move",
            found=f"{rows.table.num_rows} rows over {np.ptp(rows.time_s) / _DAY_S:.1f} days",
            mend="wait for more rows, or shorten alarms.hold_off_h",
            where=spec.solution,
        )
    return bundle


def look_back_s(scorer: Scorer) -> float:
    """Seconds before a row that its score depends on."""
    if scorer.bundle["kind"] == "rows":
        windows = scorer.bundle.get("streams", {"windows": []})["windows"]
        return max((float(window["length_s"]) for window in windows), default=0.0)
    longest = max(float(part["length_s"]) for part in scorer.bundle["parts"])
    return max(_REACH * longest, _DAY_S + longest) + 3 * float(scorer.bundle["step_s"])


def score_from(scorer: Scorer, rows: Rows, begin_s: float) -> Array:
    """Score over its limit of every row from a moment on (rows, before it NaN); the rows before are its past."""
    taken = rows.time_s >= begin_s - look_back_s(scorer)
    out = np.full(len(taken), np.nan)
    out[taken] = scorer.predict(rows.table.filter(pa.array(taken)))["value"]
    out[rows.time_s < begin_s] = np.nan
    return out


def alarms_of(spec: AnomalySpec, rows: Rows, value: Array) -> tuple[Array, Array]:
    """Rows that raise an alarm, and rows under one."""
    return raised(value, rows.time_s, rows.entity, spec.hold_off_s)


def walk_forward(
    spec: AnomalySpec, rows: Rows, begin_s: float, every_h: float = 24.0
) -> Iterator[tuple[Array, Scorer]]:
    """Scores of later rows as nights bring them: learnt anew every night on all rows before, used until the next.

    Args:
        spec: the solution.
        rows: all rows.
        begin_s: second from which rows are judged; what is before is only learnt from.
        every_h: hours from one night to the next.

    Yields:
        Score over its limit of the rows of each night (rows, others NaN), and what scored them; a night on which too
        little was known for a limit yields nothing.
    """
    end = float(rows.time_s.max())
    while begin_s <= end:
        until = begin_s + every_h * 3600.0
        try:
            scorer = Scorer(learn(spec, rows.part(rows.time_s < begin_s)))
        except NotYetError:
            begin_s = until
            continue
        known = rows.part(rows.time_s < until)
        value = np.full(len(rows.time_s), np.nan)
        value[rows.time_s < until] = score_from(scorer, known, begin_s)
        yield value, scorer
        begin_s = until
