"""From observations to a monitor in memory: one reference for all groups, or one for each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from models.context import ModelContext
from models.process_monitor.blocks import Rows, rows_of
from models.process_monitor.learning import MIN_ROWS, Learnt, learn, share_chart_limits
from models.process_monitor.observations import Observations
from models.process_monitor.runtime import FORMAT, Array, Scorer, column_numbers, groups_of
from models.process_monitor.spec import MonitorSpec
from models.solution import NotYetError
from pipelines.control_plan.errors import CellworksError


@dataclass(frozen=True)
class Fitted:
    """A monitor in memory.

    Attributes:
        scorer: What measures rows.
        learnt: How each reference came about, by group (an empty name for one reference for all).
        rows: Reference rows learnt from.
        dropped: Columns left out, with reasons.
        notes: Remarks for the model card.
    """

    scorer: Scorer
    learnt: dict[str, Learnt]
    rows: int
    dropped: dict[str, str]
    notes: list[str]

    def save(self, folder: Path) -> None:
        """Write `bundle.json`."""
        text = json.dumps(self.scorer.bundle, allow_nan=False)
        (folder / "bundle.json").write_text(text, encoding="utf-8")


def fit(spec: MonitorSpec, ctx: ModelContext, seen: Observations, chosen: Array, cut: str) -> Fitted:
    """Learn what is usual.

    Args:
        spec: the monitor.
        ctx: snapshot and plan, for the record.
        seen: all rows.
        chosen: the rows to learn from (a mask).
        cut: the last moment of them.

    Raises:
        NotYetError: there are too few rows yet.
        CellworksError: no column varies.
    """
    table = seen.table.filter(chosen)
    names, dropped = _variables(spec, seen, table.num_rows, column_numbers(table, seen.selection.numbers))
    codes, groups = groups_of(table, spec.group)
    x, time = column_numbers(table, names), seen.time[chosen]
    members = {group: codes == code for code, group in enumerate(groups)}
    if spec.references == "one":
        members = {"": np.ones(len(x), dtype=bool)}
    learnt, notes = {}, []
    for group, rows in sorted(members.items()):
        if rows.sum() < MIN_ROWS and len(members) > 1:
            notes.append(f"{group} has {int(rows.sum())} reference rows of {MIN_ROWS} and is not watched yet")
            continue
        learnt[group] = learn(_newest(rows_of(x[rows], codes[rows], time[rows], spec.max_gap_s), spec), spec)
        notes += [f"{group}: {note}" if group else note for note in learnt[group].notes]
    if not learnt:
        raise NotYetError(
            "no group has enough reference rows yet",
            expected=f"at least {MIN_ROWS} rows of a group",
            found=f"{len(x)} rows of {len(members)} groups",
            where=f"{spec.solution}: reference",
        )
    if spec.has_common_limits and len(learnt) > 1:
        learnt = share_chart_limits(learnt, spec)
        notes.append(f"the limits of the charts are set by the rows of all {len(learnt)} groups together")
    references = {group: each.reference.content for group, each in learnt.items()}
    return Fitted(
        Scorer(_bundle(spec, ctx, names, references, _record(ctx, seen, len(x), cut))), learnt, len(x), dropped, notes
    )


def _variables(spec: MonitorSpec, seen: Observations, rows: int, x: Array) -> tuple[list[str], dict[str, str]]:
    """The variables that vary in the reference, and why other columns are left out."""
    if rows < MIN_ROWS:
        raise NotYetError(
            "the reference period is too short yet",
            expected=f"at least {MIN_ROWS} rows to learn what is usual from",
            found=f"{rows} rows",
            where=f"{spec.solution}: reference",
        )
    dropped = dict(seen.selection.dropped)
    dropped |= dict.fromkeys(seen.selection.categories, "text is not watched")
    names, waiting = [], []
    for place, name in enumerate(seen.selection.numbers):
        there = x[~np.isnan(x[:, place]), place]
        if len(there) < MIN_ROWS:
            dropped[name] = "all but missing in the reference"
            waiting.append(name)
        elif there.min() == there.max():
            dropped[name] = f"constant in the reference ({there[0]:g})"
        else:
            names.append(name)
    needed = 1 if spec.statistic == "charts" else 2
    if len(names) < needed <= len(names) + len(waiting):
        raise NotYetError(
            "too little was measured yet of what is to be watched",
            expected=f"at least {MIN_ROWS} values of {needed} columns in the reference",
            found=f"fewer of {', '.join(waiting[:10])}",
            where=f"{spec.solution}: features",
        )
    if len(names) < needed:
        raise CellworksError(
            "a multivariate monitor needs at least two columns of numbers that vary, charts alone need one",
            found="; ".join(f"{name}: {why}" for name, why in list(dropped.items())[:10]),
            mend="select further columns under features, or write `charts: {}` and `statistic: charts`",
            where=f"{spec.solution}: features",
        )
    return names, dropped


def _newest(rows: Rows, spec: MonitorSpec) -> Rows:
    """The newest moments, no more rows than are asked for."""
    if len(rows.x) <= spec.reference.max_rows:
        return rows
    return rows.take(rows.tick > np.sort(rows.tick)[-spec.reference.max_rows - 1])


def _bundle(
    spec: MonitorSpec, ctx: ModelContext, names: list[str], references: dict[str, Any], record: dict[str, Any]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": spec.name,
        "features": names,
        "time": spec.time,
        "group": spec.group,
        "max_gap_s": spec.max_gap_s,
        "is_by_group": spec.references == "each",
        "statistic": spec.statistic,
        "persistence": spec.persistence,
        "false_alarm_rate": spec.false_alarm_rate,
        "references": references,
        "record": {**record, "mode": ctx.mode},
    }


def _record(ctx: ModelContext, seen: Observations, rows: int, cut: str) -> dict[str, Any]:
    """What the version remembers of its making."""
    return {
        "cut": {"kind": "time", "after": cut},
        "rows": rows,
        "snapshot": ctx.snapshot,
        "digest": seen.digest,
        "plan_hash": ctx.plan_hash,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
