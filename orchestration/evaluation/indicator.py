"""Does an indicator count rightly? Its figures are worked out again from the rows by other means, and added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.indicator.cost_spec import Cost
from models.indicator.oee_spec import Oee
from models.indicator.spec import IndicatorSpec
from models.scoring.table import has_table
from models.solution import SolutionSpec
from orchestration.evaluation import cost_ledger
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.rows import newest_answers
from pipelines.control_plan.site import Site
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.sql import quote_identifier, quote_literal

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Parts:
    """Where the parts of figures are: end of the table's name, columns that name a part, its amount, and the whole."""

    table: str
    names: tuple[str, ...]
    amount: str
    whole: str


TIME = Parts("loss", ("element", "loss"), "lost_s", "calendar_s")
MONEY = Parts("part", ("element",), "cost_usd", "cost_usd")


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Work every answer out anew and compare; add the parts up at every level."""
    own, night = cast("IndicatorSpec", spec), ground.evidence(spec).night or {}
    home = cast("Home", ground.home)
    kind = own.indicator
    if not isinstance(kind, Oee) and not (isinstance(kind, Cost) and own.table == cost_ledger.STEPS):
        return Evaluation("not_run", f"figures of kind '{kind.kind}' are not worked out by other means yet")
    answers = newest_answers(own, home, str(night.get("champion_version"))).to_pandas()
    if answers.empty:
        return Evaluation("not_run", "it has answered nothing yet")
    snapshot = int(answers["lake_snapshot"].max())
    if isinstance(kind, Oee):
        anew, gap = worked_out(own, kind, home, night["at"], snapshot), unreconciled(own, home, TIME)
    else:
        anew, missed = cost_of(own, ground.site, home, snapshot)
        gap = max(missed, unreconciled(own, home, MONEY))
    joined = answers.merge(anew.rename("anew"), left_on=own.keys, right_index=True, how="outer")
    return judged(joined["value"].to_numpy(), joined["anew"].to_numpy(), gap)


def cost_of(spec: IndicatorSpec, site: Site, home: Home, snapshot: int) -> tuple[pd.Series[float], float]:
    """US$/kWh of each of the keys, and the largest share of a day's total by which its steps miss it."""
    import pandas as pd

    records = cost_ledger.read(home, snapshot)
    cost_usd = cost_ledger.spent(site, records)
    per_kwh = cost_ledger.cost_per_kwh(records, cost_usd)
    index = pd.MultiIndex.from_tuples(per_kwh, names=["step_code", "production_day"]).reorder_levels(spec.keys)
    return pd.Series(list(per_kwh.values()), index=index, dtype=float), cost_ledger.missed_days(records, cost_usd)


def judged(told: Any, anew: Any, gap: float) -> Evaluation:
    """Compare figures with those worked out anew.

    Args:
        told: the answers, NaN where there is none.
        anew: the same by other means.
        gap: the largest share of a whole by which its parts miss it.
    """
    both = np.isnan(told) & np.isnan(anew)
    differs = np.where(both, 0.0, np.nan_to_num(np.abs(told - anew) / np.maximum(np.abs(anew), 1e-12), nan=np.inf))
    worst = float(np.max(differs))
    lines = [
        Line(f"at most {TOLERANCE:g}", f"{len(told):,} figures differ by at most {worst:.1e}", worst <= TOLERANCE),
        Line(f"at most {TOLERANCE:g}", f"parts miss the whole by at most {gap:.1e}", gap <= TOLERANCE),
    ]
    figures = {"rows": len(told), "gap": gap}
    return verdict(
        lines, metric="largest relative difference from the figures worked out anew", value=worst, baseline=None,
        threshold=TOLERANCE, figures=figures,
    )  # fmt: skip


def worked_out(spec: IndicatorSpec, oee: Oee, home: Home, now: datetime, snapshot: int) -> pd.Series[float]:
    """OEE of each of the keys from the states themselves, by pandas; the engine works in SQL.

    Args:
        spec: the indicator.
        oee: its figures.
        home: the instance.
        now: the plant's now of the answers.
        snapshot: of the lake that they were worked out from.
    """
    columns = ", ".join(quote_identifier(name) for name in dict.fromkeys([*oee.columns, *spec.keys]))
    table = ".".join(quote_identifier(part) for part in spec.table.removeprefix("lake.").split("."))
    counted = f"AND {quote_identifier(oee.only)}" if oee.only else ""
    with reader(home, snapshot=snapshot) as con:
        states = con.execute(
            f"SELECT {columns} FROM lake.{table} WHERE {quote_identifier(oee.begin)} < ? {counted}", [now]
        ).to_arrow_table()
    return oee_of(states.to_pandas(), oee, spec.keys, now)


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


def unreconciled(spec: IndicatorSpec, home: Home, of: Parts) -> float:
    """The largest share of a whole by which the parts of any row of any level miss it."""
    slug = spec.slug
    with reader(home) as con:
        if not has_table(con, "solutions", f"{slug}_{of.table}"):
            return float("inf")
        figure, part = (f"lake.solutions.{quote_identifier(f'{slug}_{end}')}" for end in ("figure", of.table))
        named = ", ".join(quote_literal(name) for name in (*of.names, of.amount))
        columns = [
            name
            for (name,) in con.execute(
                "SELECT column_name FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = 'solutions' "
                f"AND table_name = {quote_literal(f'{slug}_{of.table}')} AND column_name NOT IN ({named})"
            ).fetchall()
        ]
        same = " AND ".join(
            f"f.{quote_identifier(name)} IS NOT DISTINCT FROM p.{quote_identifier(name)}" for name in columns
        )
        by = ", ".join(quote_identifier(name) for name in columns)
        amount, whole = quote_identifier(of.amount), quote_identifier(of.whole)
        row = con.execute(
            f"""
            WITH p AS (SELECT {by}, sum({amount}) AS parts FROM {part} GROUP BY ALL)
            SELECT max(coalesce(abs(p.parts - f.{whole}) / f.{whole}, 'inf'::DOUBLE))
            FROM {figure} AS f LEFT JOIN p ON {same} WHERE f.{whole} > 0
            """
        ).fetchone()
    return float(row[0]) if row and row[0] is not None else float("inf")
