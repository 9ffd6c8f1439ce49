"""OEE from the states themselves, by pandas; the engine works in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from models.indicator.oee_spec import Oee
from orchestration.evaluation.indicators.anew import Anew, Asked, rows_of, unreconciled

if TYPE_CHECKING:
    import pandas as pd


def worked_anew(asked: Asked) -> Anew:
    """See `orchestration.evaluation.indicator.KINDS`."""
    spec, home, now, snapshot = asked.spec, asked.home, asked.now, asked.snapshot
    oee = cast("Oee", spec.indicator)
    states = rows_of(home, snapshot, spec.table, [*oee.columns, *spec.keys, *([oee.only] if oee.only else [])])
    states = states[states[oee.begin] < now]
    if oee.only:
        states = states[states[oee.only].fillna(value=False).astype(bool)]
    gap = unreconciled(home, spec.slug, ("figure", "calendar_s"), ("loss", "lost_s"), ("element", "loss"))
    return Anew(oee_of(states, oee, spec.keys, now).to_frame("value"), gap, "losses")


def oee_of(states: pd.DataFrame, oee: Oee, keys: list[str], now: datetime) -> pd.Series[float]:
    """OEE by the keys: fully productive time over planned busy time, effectiveness capped in each period."""
    element = {named: name for name, all_named in oee.elements.items() for named in all_named}
    named = states[oee.state].map(element)
    if oee.reason:
        named = (states[oee.state] + "/" + states[oee.reason].fillna("")).map(element).fillna(named)
    until = states[oee.end].where(states[oee.end] < now, now)
    spent = (until - states[oee.begin]).dt.total_seconds()
    rate = states[oee.ideal_rate_per_h].where(states[oee.produced] > 0)
    times = states.assign(
        production=spent.where(named == "production", 0.0),
        busy=spent.where(named != "planned_stop", 0.0),
        ideal=(states[oee.produced] / rate * 3600).fillna(0.0),
    )
    leaf = list(dict.fromkeys([oee.machine, *oee.period, *keys]))
    sums = times.groupby(leaf)[["production", "busy", "ideal", oee.produced, oee.good]].sum()
    made = sums[oee.produced].where(sums[oee.produced] > 0)
    sums["productive"] = (sums[["ideal", "production"]].min(axis=1) * sums[oee.good] / made).fillna(0.0)
    rolled = sums.groupby(level=keys)[["productive", "busy"]].sum()
    return cast("pd.Series[float]", (rolled["productive"] / rolled["busy"])[rolled["busy"] > 0])
