"""Lots by their samples: each is judged by the plan that the lots before it call for (ISO 2859-1)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from models.decision_rule.rows import Decisions, Rows
from models.decision_rule.spec import Sampling
from pipelines.control_plan.errors import CellworksError
from pipelines.sampling.iso2859 import Plan, UnknownPlanError, plan_for
from pipelines.sampling.switching import Switching

ACCEPTED, REJECTED, STOPPED = "accepted", "rejected", "stopped"
_Reasons = list[dict[str, Any]]


class _Line:
    """The lots of one supplier and product, one after the other."""

    def __init__(self, rule: Sampling, name: str, aql: float) -> None:
        self.rule = rule
        self.aql = aql
        self.resumed_at = [_naive(moment) for moment in rule.resumed.get(name, [])]
        self.switching = Switching()
        self.stopped_at: datetime | None = None

    def judge(self, at: datetime, lot: tuple[float | None, ...]) -> tuple[str | None, _Reasons]:
        """Decision on the next lot (units, inspected, nonconforming), None while it waits, and its reasons."""
        if self.switching.state == "discontinued":
            if not any(self.stopped_at is None or self.stopped_at < moment <= at for moment in self.resumed_at):
                return STOPPED, [_part("inspection", "discontinued", "until the supplier has acted")]
            self.switching = self.switching.resumed()
        units, inspected, found = lot
        if units is None or inspected is None or found is None:
            return None, [_part(name, None, "is needed") for name, each in self._named(lot) if each is None]
        if not 0 <= found <= inspected <= units or units < 2:
            return None, [_part(name, each, "does not fit the others") for name, each in self._named(lot)]
        try:
            plan = plan_for(int(units), self.aql, self.rule.level, self.switching.state)
        except UnknownPlanError as error:
            return None, [_part(self.rule.lot_size, units, error.what)]
        if inspected < plan.size:
            return None, [_part(self.rule.inspected, inspected, f"{plan.size} are to be inspected")]
        return self._judged(plan, at, int(inspected), int(found))

    def _judged(self, plan: Plan, at: datetime, inspected: int, found: int) -> tuple[str, _Reasons]:
        by = f"{self.switching.state} inspection, AQL {self.aql:g} %, level {self.rule.level}"
        reasons = [
            _part(self.rule.nonconforming, found, f"at most {plan.accept} by {by}"),
            _part(self.rule.inspected, inspected, f"{plan.size} by letter {plan.letter}"),
        ]
        self.switching = self.switching.after(plan, found)
        if self.switching.state == "discontinued":
            self.stopped_at = at
        return (ACCEPTED if found <= plan.accept else REJECTED), reasons

    def _named(self, lot: tuple[float | None, ...]) -> list[tuple[str, float | None]]:
        return list(zip(self.rule.numbers, lot, strict=True))


def decide(rule: Sampling, rows: Rows) -> Decisions:
    """Judge lots in their order; one that waits for its sample, or for a plan that is not held, switches nothing.

    More units than the plan asks for may have been inspected: all that was found counts then, which is the stricter
    way. The loop is the rule itself, for each state follows from the lot before; a plant has thousands of lots.

    Args:
        rule: AQL, level, and whose lots follow each other.
        rows: the lots with their moments, in that order.

    Raises:
        CellworksError: a lot has no acceptance quality limit.

    Returns:
        Decisions, and as the further table `state` how the next lot of each is inspected.
    """
    if rows.time is None:
        raise ValueError("lots without moments have no order")
    whose = [rows.table.column(name).to_pylist() for name in rule.of]
    names = ["/".join(str(column[row]) for column in whose) for row in range(rows.table.num_rows)]
    lots = zip(*(rows.table.column(name).to_pylist() for name in rule.numbers), strict=True)
    limits = _limits(rule, rows)
    lines = {name: _Line(rule, name, limit) for name, limit in zip(names, limits, strict=True)}
    told = [lines[name].judge(at, lot) for name, at, lot in zip(names, rows.time.tolist(), lots, strict=True)]
    classes = np.array([decision for decision, _ in told], dtype=object)
    return Decisions(
        pa.array(classes, pa.string()),
        np.isin(classes, [REJECTED, STOPPED]),
        rows.table.column(rule.nonconforming).combine_chunks(),
        pa.array([json.dumps(reasons) for _, reasons in told], pa.string()),
        {"state": _states(lines)},
    )


def _limits(rule: Sampling, rows: Rows) -> list[float]:
    """The acceptance quality limit of each lot.

    Raises:
        CellworksError: none is given for a lot.
    """
    if isinstance(rule.aql, float):
        return [rule.aql] * rows.table.num_rows
    values, limits = rows.table.column(rule.aql.column).to_pylist(), rule.aql.of
    if unknown := sorted({str(each) for each in values} - set(limits)):
        raise CellworksError(
            f"lots have no acceptance quality limit by their '{rule.aql.column}'",
            expected=", ".join(limits),
            found=", ".join(unknown[:10]),
            mend="write its limit to `sampling.aql.of`",
        )
    return [limits[each] for each in values]


def _states(lines: dict[str, _Line]) -> pa.Table:
    """How the next lot of each line is inspected."""
    return pa.table(
        {
            "lots_of": list(lines),
            "state": [line.switching.state for line in lines.values()],
            "switching_score": [line.switching.score for line in lines.values()],
            "rejected_count": [line.switching.rejected for line in lines.values()],
        }
    )


def _part(feature: str, value: object, limit: str) -> dict[str, Any]:
    return {"feature": feature, "value": value, "limit": limit}


def _naive(moment: datetime) -> datetime:
    """UTC without its mark, as the lake's moments are."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
