"""OEE and its loss tree by the time elements of ISO 22400-2, as one pass of SQL over states.

    calendar = not recorded + planned stops + planned busy (PBT)
    planned busy = setup (AUST) + delays (ADET) + down (ADOT) + actual production (APT)
    actual production = speed loss + ideal time of what was made; of that: quality loss + fully productive

Availability APT/PBT, effectiveness PRI x PQ/APT with PRI the ideal time of a piece, quality GQ/PQ, OEE their product;
NEE the same with (APT + AUST)/PBT; TEEP = OEE x PBT/calendar; MTBF = APT/failures; MTTR = time of failures/failures
(ISO 22400-2:2014, KPIs; losses after Nakajima).

Effectiveness is capped at 1 for each machine and period, the finest level, so that the times of all levels add up; the
uncapped one is told beside it, for above 1 the ideal cycle is wrong. Times are rolled up and not ratios, so machines
that count metres and those that count cells add up too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from models.features.source import Tables
from models.indicator import oee_sql
from models.indicator.levels import TOLERANCE, Checks, Level, levels_of, listed, make, missed_wholes, told
from models.indicator.oee_spec import Oee
from models.indicator.oee_sql import Columns
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.sql import quote_identifier


@dataclass(frozen=True)
class LossTree:
    """What came of the states.

    Attributes:
        answers: A row per row of figures of the keys: the keys, `event_at` (until when), `value` (OEE), `class` (the
            largest loss of planned busy time; null while its period is under way), `is_flagged`, `reasons` (JSON: the
            largest losses, in h and as a share of planned busy time).
        figures: A row per level and what it is by: `level`, its columns, times in s that add up, ratios, MTBF, MTTR.
        losses: A row per row of figures and loss: `element`, `loss`, `lost_s`. What is left, the fully productive time,
            is one of them, so that they add up to the calendar time.
        unmapped: States that no element names, as `State` or `State/reason`.
        too_fast: Machines whose effectiveness is above 1, with it: their ideal cycle is wrong.
        unrecorded: Machines that lack a state for longer than allowed, with that share of their calendar time.
    """

    answers: pa.Table
    figures: pa.Table
    losses: pa.Table
    unmapped: list[str]
    too_fast: dict[str, float]
    unrecorded: dict[str, float]


def loss_tree(tables: Tables, table: str, oee: Oee, keys: Level, now: datetime) -> LossTree:
    """Work out the tree of all that was recorded until a moment.

    Args:
        tables: open connection that sees the table.
        table: the states.
        oee: which columns, and which state is which element.
        keys: columns of the level of the answers.
        now: the plant's now (UTC, naive): a period under way has lasted until then.

    Raises:
        CellworksError: a machine that makes something has no ideal rate, or the losses do not add up to the whole, as
            where states overlap.
    """
    tables.columns_with(table, [*keys, *oee.columns], "indicator")
    levels = levels_of(keys, *oee.roll_up, [oee.machine, *oee.period])
    columns = Columns.of(oee, levels)
    tables.con.register("cw_mapping", _mapping(oee))
    make(tables, "cw_piece", oee_sql.pieces(tables.relation(table), oee, columns), {"now": now})
    _refuse_unknown_rates(tables, oee)
    make(tables, "cw_leaf", oee_sql.leaves(columns))
    make(tables, "cw_leaf_loss", oee_sql.leaf_losses(columns))
    make(tables, "cw_figure", oee_sql.figures(levels))
    make(tables, "cw_loss", oee_sql.losses(levels))
    _refuse_what_does_not_add_up(tables, columns, oee)
    unmapped = tables.arrow("SELECT DISTINCT loss FROM cw_piece WHERE element = 'unmapped' ORDER BY loss")
    return LossTree(
        tables.con.execute(oee_sql.answers(keys), {"below": oee.below, "top_k": oee.top_k}).to_arrow_table(),
        tables.arrow(f"FROM cw_figure ORDER BY level, {listed(columns.all)}"),
        tables.arrow(f"FROM cw_loss ORDER BY level, {listed(columns.all)}, lost_s DESC, element, loss"),
        unmapped.column("loss").to_pylist(),
        _beyond(tables, oee, "sum(ideal_s) / nullif(sum(production_s), 0)", 1.0 + TOLERANCE),
        _beyond(tables, oee, "sum(not_recorded_s) / nullif(sum(calendar_s), 0)", oee.max_unrecorded_ratio),
    )


def _mapping(oee: Oee) -> pa.Table:
    """A row per named state: state, reason (null: any), element (null: none of its own), whether it is a failure."""
    element = {named: name for name, states in oee.elements.items() for named in states}
    named = list(dict.fromkeys([*element, *oee.failures]))
    parts = [each.partition("/") for each in named]
    return pa.table(
        {
            "state": pa.array([state for state, _, _ in parts], pa.string()),
            "reason": pa.array([reason or None for _, _, reason in parts], pa.string()),
            "element": pa.array([element.get(each) for each in named], pa.string()),
            "is_failure": pa.array([each in oee.failures for each in named], pa.bool_()),
        }
    )


def _refuse_unknown_rates(tables: Tables, oee: Oee) -> None:
    machine = quote_identifier(oee.machine)
    lacking = tables.con.execute(
        f"SELECT DISTINCT {machine} FROM cw_piece "
        "WHERE (_produced > 0 OR element = 'production') AND NOT coalesce(_rate_per_h > 0, false) ORDER BY 1"
    ).fetchall()
    if lacking:
        raise CellworksError(
            "machines that produce have no ideal rate, so what their speed loses can't be told",
            expected=f"a rate above 0 in '{oee.ideal_rate_per_h}' for each machine that counts",
            found=", ".join(str(name) for (name,) in lacking[:10]),
            mend="give them `ideal_rate_per_h` in site.yaml, or leave them out with `indicator.only`",
        )


def _refuse_what_does_not_add_up(tables: Tables, columns: Columns, oee: Oee) -> None:
    worst = missed_wholes(tables, ("cw_figure", "calendar_s"), ("cw_loss", "lost_s"), columns.all)
    if worst:
        what, level, calendar_s, lost_s, least_s = worst[0]
        raise CellworksError(
            "the losses do not add up to the whole; nothing was written",
            expected=f"states of a machine that do not overlap, and {oee.good} between 0 and {oee.produced}",
            found=f"{what} ({level}): losses of {lost_s} s, the least {least_s} s, in {calendar_s} s",
            mend="correct the records of that machine and day",
        )


def _beyond(tables: Tables, oee: Oee, figure: str, limit: float) -> dict[str, float]:
    """Machines whose figure is above a limit, the worst first."""
    machine = quote_identifier(oee.machine)
    found = tables.con.execute(
        f"SELECT {machine}, {figure} AS figure FROM cw_leaf GROUP BY ALL HAVING figure > $limit ORDER BY 2 DESC, 1",
        {"limit": limit},
    ).fetchall()
    return {str(name): float(value) for name, value in found}


def checks(tree: LossTree) -> Checks:
    """What is to be known of the figures before anybody trusts them."""
    return {
        "adds_up": (True, "losses and fully productive time are the calendar time, at every level"),
        "all_mapped": (not tree.unmapped, told("states without a time element: ", tree.unmapped)),
        "plausible": (not tree.too_fast, told("faster than the ideal cycle: ", _shares(tree.too_fast))),
        "complete": (not tree.unrecorded, told("time without a state: ", _shares(tree.unrecorded))),
    }


def _shares(found: dict[str, float]) -> list[str]:
    return [f"{name} ({value:.2%})" for name, value in found.items()]
