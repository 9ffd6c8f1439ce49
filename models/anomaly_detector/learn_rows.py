"""How rows of many numbers look that belong together, learnt by the method that sees most of what is put into them.

Nobody labels anomalies, so the method is chosen by faults put into copies of the reference's later rows: one to three
numbers are moved by a few of their own robust standard deviations, or taken from another row, where each is usual by
itself and wrong beside the others. The method that finds most of them at the budget's rate of alarms is taken.
`largest` looks at each number by itself, as a Shewhart chart does; `joint` knows which numbers move together
(Mahalanobis, with a covariance of numbers held at three robust standard deviations, as Raymaekers and Rousseeuw 2021
hold them against outliers); `neighbours` knows more than one kind of good row. A simpler method stays where a further
one gains next to nothing. An isolation forest was left out: its trees are no arrays that a JSON file holds well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from models.anomaly_detector.learn_streams import learn_streams
from models.anomaly_detector.limits import block_maxima, chance_of_block, level
from models.anomaly_detector.runtime import ENTITY, FORMAT, TIME, Array, numbers, row_parts, standard, texts
from pipelines.control_plan.errors import CellworksError

METHODS = ("largest", "joint", "neighbours")
_SIZES = (3.0, 4.0, 6.0)  # faults put in, in robust standard deviations
_MOST_MOVED = 3
_FAULTS = 1_500
_LEARNT_SHARE = 0.7  # of the reference, the earlier part, while the method is chosen
_GAIN = 0.03  # share of the faults by which a further method must be better, about what chance moves
_HELD_AT = 3.0  # robust standard deviations
_COMPARED_ROWS = 20_000  # rows that give the methods their limits while one is chosen, evenly taken
_NEIGHBOURS, _KEPT_ROWS = 10, 1_000
_FOLDS = 5
_QUARTILES = 1.349  # standard deviations between the quartiles of a normal distribution


def learn_rows(
    table: pa.Table,
    columns: Sequence[str],
    entity: Array,
    *,
    per_week: float,
    hold_off_s: float,
    seed: int,
    windows_h: Sequence[float] = (),
) -> tuple[dict[str, Any], Array]:
    """Centre, scale, method and limit.

    Args:
        table: `time_s` and the numbers; rows in the order of time.
        columns: names of the numbers.
        entity: number of the entity (rows,), by which alarms are grouped.
        per_week: alarms a week, over all entities.
        hold_off_s: seconds; 0: every row over the limit is an alarm.
        seed: of the faults put in.
        windows_h: lengths over which the means of each entity's rows are judged too, in hours; the table then names
            the `entity`.

    Returns:
        The bundle, and the score over its limit of each row, made without the block that the row lies in.

    Raises:
        CellworksError: no column moves at all.
    """
    time_s, x = numbers(table, [TIME])[:, 0], numbers(table, list(columns))
    centre, scale = np.nanmedian(x, axis=0), robust_scale(x)
    moving = np.flatnonzero(scale > 0).tolist()
    if not moving:
        raise CellworksError(
            "none of the watched numbers ever changes", expected="numbers that vary", found=", ".join(columns)
        )
    z = standard(x[:, moving], centre[moving], scale[moving])
    method, found = _choose(z, chance_of_block(per_week, len(z), float(np.ptp(time_s))), seed)
    score = _unseen_scores(z, method)
    limit = _limit(score, time_s, entity, per_week, hold_off_s)
    bundle: dict[str, Any] = {
        "format": FORMAT,
        "kind": "rows",
        "parts": [{"name": columns[place], "variable": columns[place]} for place in moving],
        "centre": centre[moving].tolist(),
        "scale": scale[moving].tolist(),
        "method": method,
        "found": found,
        "state": _state(z, method),
        "limit": limit,
    }
    if windows_h:
        machine = texts(table, ENTITY)
        streams, off = learn_streams(
            z, time_s, machine, _precision(z), windows_h=windows_h, per_week=per_week, hold_off_s=hold_off_s
        )
        if streams is not None:
            score = np.fmax(score, off * limit)  # both alarm as often, so what is over its limit is as odd
            lengths_s = [fit["length_s"] for fit in streams["windows"]]
            bundle["parts"] += [_window(part, length_s) for length_s in lengths_s for part in bundle["parts"]]
            bundle["streams"] = _as_json(streams, limit)
            bundle["limit"] = limit = _limit(score, time_s, entity, per_week, hold_off_s)
    return bundle, score / limit


def _limit(score: Array, time_s: Array, entity: Array, per_week: float, hold_off_s: float) -> float:
    maxima = block_maxima(score, time_s, entity, hold_off_s)
    return level(maxima, chance_of_block(per_week, len(maxima), float(np.ptp(time_s))))


def _as_json(streams: dict[str, Any], limit: float) -> dict[str, Any]:
    """Streams as JSON holds them, unknown as null; their limits in units of the rows' limit."""

    def plain(each: Array) -> list[Any]:
        held = each.astype(object)
        held[~np.isfinite(each)] = None
        listed: list[Any] = held.tolist()
        return listed

    windows = [
        {"length_s": fit["length_s"], "limit": plain(fit["limit"] / limit)}
        | {name: plain(fit[name]) for name in ("share", "lasting", "usual")}
        for fit in streams["windows"]
    ]
    return {"precision": streams["precision"].tolist(), "machines": streams["machines"], "windows": windows}


def _window(part: dict[str, Any], length_s: float) -> dict[str, Any]:
    return part | {"name": f"{part['variable']} over {length_s / 3600:g} h"}


def robust_scale(x: Array) -> Array:
    """Robust standard deviation of each column; the plain one where half of the values are the same."""
    low, high = np.nanquantile(x, [0.25, 0.75], axis=0)
    scale = (high - low) / _QUARTILES
    return np.asarray(np.nan_to_num(np.where(scale > 0, scale, np.nanstd(x, axis=0))))


def _state(z: Array, method: str) -> dict[str, Any]:
    """What a method learns from standard numbers."""
    if method == "joint":
        return {"precision": _precision(z).tolist()}
    if method == "neighbours":
        kept = z[:: max(1, len(z) // _KEPT_ROWS)]
        return {"reference": kept.round(4).tolist(), "count": min(_NEIGHBOURS, len(kept))}
    return {}


def _precision(z: Array) -> Array:
    """Inverse of the covariance of held numbers, shrunk as far as its rows are few (Ledoit and Wolf 2004)."""
    from sklearn.covariance import LedoitWolf

    return np.asarray(LedoitWolf().fit(np.clip(z, -_HELD_AT, _HELD_AT)).precision_)


def _unseen_scores(z: Array, method: str) -> Array:
    """Score of each row (rows,) by what was learnt without its block."""
    from sklearn.model_selection import KFold

    out = np.empty(len(z))
    for others, block in KFold(_FOLDS).split(z):
        out[block] = row_parts(z[block], method, _state(z[others], method))[0]
    return out


def _choose(z: Array, chance: float, seed: int) -> tuple[str, dict[str, float]]:
    """The method to take, and the share of the faults put into later rows that each finds.

    Each has the limit that the later rows themselves pass with the chance, so that all alarm as often.
    """
    if z.shape[1] == 1:
        return METHODS[0], {}  # there is nothing beside it to belong to
    cut = int(_LEARNT_SHARE * len(z))
    later = z[cut:][:: max(1, (len(z) - cut) // _COMPARED_ROWS)]
    faulty = put_faults_into(later, seed)
    found = {}
    for method in METHODS:
        state = _state(z[:cut], method)
        limit = level(row_parts(later, method, state)[0], chance)
        found[method] = float(np.mean(row_parts(faulty, method, state)[0] > limit))
    return next(name for name in METHODS if found[name] >= max(found.values()) - _GAIN), found


def put_faults_into(z: Array, seed: int) -> Array:
    """Copies of rows with one to three numbers that do not belong there.

    In every other copy they are moved up or down by 3, 4 or 6 robust standard deviations, in the others they are those
    of another row.
    """
    draw = np.random.default_rng(seed)
    out = z[draw.integers(0, len(z), _FAULTS)]
    strange = z[draw.integers(0, len(z), _FAULTS)]
    moved = draw.integers(1, min(_MOST_MOVED, z.shape[1]) + 1, _FAULTS)
    order = draw.permuted(np.tile(np.arange(z.shape[1]), (_FAULTS, 1)), axis=1)
    is_moved = np.empty_like(out, dtype=bool)
    np.put_along_axis(is_moved, order, np.arange(z.shape[1]) < moved[:, None], axis=1)
    size = draw.choice(_SIZES, _FAULTS)[:, None] * draw.choice([-1.0, 1.0], out.shape)
    wrong = np.where((np.arange(_FAULTS) % 2 == 0)[:, None], out + size, strange)
    return np.asarray(np.where(is_moved, wrong, out))
