"""Natures of alarms from the log itself, by numpy and a walk through the windows; the engine works in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from models.indicator.alarms_spec import Alarms
from orchestration.evaluation.indicators.anew import Anew, Asked, rows_of, unreconciled

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]
WORST_FIRST = ("chattering", "stale", "flood", "single")


def worked_anew(asked: Asked) -> Anew:
    """See `orchestration.evaluation.indicator.KINDS`."""
    spec, home, now, snapshot = asked.spec, asked.home, asked.now, asked.snapshot
    alarms = cast("Alarms", spec.indicator)
    log = rows_of(home, snapshot, spec.table, [*alarms.columns, *spec.keys])
    gap = unreconciled(home, spec.slug, ("figure", "alarm_count"), ("nature", "alarm_count"), ["nature"])
    return Anew(alarms_of(log, alarms, spec.keys, now), gap, "natures")


def alarms_of(log: pd.DataFrame, alarms: Alarms, keys: list[str], now: datetime) -> pd.DataFrame:
    """Annunciations and the worst nature among them by the keys; no nature while one may still become stale."""
    raised = log[log[alarms.raised] <= now]
    place = raised.assign(_nature=[WORST_FIRST.index(nature) for nature in natures(raised, alarms, now)])
    found = place.groupby(keys, dropna=False).agg(value=("_nature", "size"), worst=("_nature", "min"))
    period = [name for name in alarms.period if name in keys]
    last = raised.groupby(period)[alarms.raised].transform("max") if period else raised[alarms.raised].max()
    since_s = (now - (raised.assign(_last=last).groupby(keys, dropna=False)["_last"].max())).dt.total_seconds()
    worst = found["worst"].map(dict(enumerate(WORST_FIRST)))
    return found[["value"]].assign(**{"class": worst.where(since_s > alarms.stale_h * 3600.0, None)})


def natures(log: pd.DataFrame, alarms: Alarms, now: datetime) -> Array:
    """The nature of each annunciation of a log that ends at a moment, text, (n,)."""
    raised = log[alarms.raised].to_numpy().astype("datetime64[us]").astype(np.int64)
    names = log[alarms.alarm].astype(str).agg("/".join, axis=1).to_numpy()
    chatters = np.zeros(len(log), dtype=bool)
    for name in np.unique(names):
        mine = np.flatnonzero(names == name)
        mine = mine[np.argsort(raised[mine], kind="stable")]
        more = alarms.chatter_count - 1
        for first in np.flatnonzero(raised[mine][more:] - raised[mine][: len(mine) - more] <= alarms.chatter_s * 1e6):
            chatters[mine[first : first + more + 1]] = True
    stood = log[alarms.returned].where(log[alarms.returned] < now, now) - log[alarms.raised]
    is_stale = (stood.dt.total_seconds() > alarms.stale_h * 3600.0).to_numpy()
    window = windows_of(log, alarms)
    is_in_flood = np.isin(window, flooded(window, alarms))
    chosen = [chatters, is_stale, is_in_flood]
    return np.select(chosen, list(WORST_FIRST[:-1]), default=WORST_FIRST[-1])


def windows_of(log: pd.DataFrame, alarms: Alarms) -> Array:
    """Number of the window of each annunciation, counted from 1970."""
    return log[alarms.raised].to_numpy().astype("datetime64[us]").astype(np.int64) // (alarms.window_s * 1_000_000)


def flooded(window: Array, alarms: Alarms) -> list[int]:
    """Numbers of the windows that are flooded: from a full one until before the first quiet one.

    Args:
        window: number of the window of each annunciation.
        alarms: what is full, and what is quiet.
    """
    first = int(window.min())
    counts = np.bincount(window - first)
    found, is_on = [], False
    for number, count in enumerate(counts / alarms.operators):
        is_on = count >= alarms.flood_from or (is_on and count >= alarms.flood_below)
        if is_on:
            found.append(first + number)
    return found
