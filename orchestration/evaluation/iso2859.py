"""ISO 2859-1 by its printed figures, and lots decided anew by its switching rules as the standard words them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.decision_rule.spec import DecisionSpec, Sampling
from pipelines.sampling.iso2859 import Severity, UnknownPlanError, chance_of_acceptance, code_letter, plan_for

LETTERS = {8: "A", 15: "B", 25: "C", 50: "D", 90: "E", 150: "F", 280: "G", 500: "H", 1_200: "J", 3_200: "K",
           10_000: "L", 35_000: "M", 150_000: "N", 500_000: "P", 500_001: "Q"}  # fmt: skip
"""Largest lot of each code letter, level II (table 1)."""
ACCEPT = {
    1_200: (80, {0.15: 0, 0.65: 1, 1.0: 2, 1.5: 3, 2.5: 5, 4.0: 7}),
    3_200: (125, {0.10: 0, 0.40: 1, 0.65: 2, 1.0: 3, 1.5: 5, 2.5: 7}),
    10_000: (200, {0.065: 0, 0.25: 1, 0.40: 2, 0.65: 3, 1.0: 5, 1.5: 7}),
    35_000: (315, {0.04: 0, 0.15: 1, 0.25: 2, 0.40: 3, 0.65: 5, 1.0: 7}),
}
"""Sample size and acceptance numbers by AQL of normal inspection, by lot size (table 2-A)."""
_SHARES = (0.0065, 0.01, 0.02, 0.03, 0.05)
ACCEPTED_SHARE = {
    (3_200, 0.65): (0.9513, 0.8693, 0.5425, 0.2727, 0.0477),
    (10_000, 0.65): (0.9575, 0.8580, 0.4315, 0.1472, 0.0090),
    (1_200, 0.65): (0.9042, 0.8092, 0.5230, 0.3038, 0.0861),
    (1_200, 1.0): (0.9844, 0.9534, 0.7844, 0.5681, 0.2306),
}
"""Chance of acceptance at 0.65, 1, 2, 3 and 5 % nonconforming, by lot size and AQL (binomial)."""


def wrong_oracles() -> list[str]:
    """The standard's figures that the product's tables do not give."""
    wrong = [f"letter of {lot}" for lot, letter in LETTERS.items() if code_letter(lot) != letter]
    for lot, (size, accept) in ACCEPT.items():
        for aql, number in accept.items():
            plan = plan_for(lot, aql)
            wrong += [f"plan of {lot}, AQL {aql}"] if (plan.size, plan.accept) != (size, number) else []
    for (lot, aql), shares in ACCEPTED_SHARE.items():
        found = chance_of_acceptance(plan_for(lot, aql), np.array(_SHARES))
        wrong += [f"acceptance of {lot}, AQL {aql}"] if np.abs(found - shares).max() > 6e-5 else []
    return wrong


def decided(spec: DecisionSpec, table: pa.Table) -> npt.NDArray[Any]:
    """Decisions on lots (rows of `table`) in the order of their moments, None where a lot waits."""
    rule = spec.sampling
    if rule is None:
        raise LookupError("a rule of lots has `sampling`")
    columns = [table.column(f"row_{name}").to_pylist() for name in rule.numbers]
    whose = list(zip(*(table.column(f"row_{name}").to_pylist() for name in rule.of), strict=True)) or [()] * len(table)
    moments = table.column(f"row_{spec.time}").to_pylist()
    keys = list(zip(*(table.column(key).to_pylist() for key in spec.keys), strict=True))
    order = sorted(range(len(moments)), key=lambda row: (moments[row], keys[row]))
    lines: dict[Any, _Inspection] = {}
    classes = np.full(len(moments), None, dtype=object)
    for row in order:
        name, aql = "/".join(str(part) for part in whose[row]), _aql(rule, whose[row])
        line = lines.setdefault(whose[row], _Inspection(rule, name, aql))
        classes[row] = line.decide(moments[row], [column[row] for column in columns])
    return classes


def _aql(rule: Sampling, whose: tuple[str, ...]) -> float:
    """The limit of lots that follow each other."""
    if isinstance(rule.aql, float):
        return rule.aql
    return rule.aql.of[whose[rule.of.index(rule.aql.column)]]


class _Inspection:
    """Lots that follow each other: what was decided on those under the inspection in force.

    Reduced inspection also needs an agreement, which nobody gives here.
    """

    def __init__(self, rule: Sampling, name: str, aql: float) -> None:
        self.rule, self.aql = rule, aql
        self.resumed = [_utc(moment) for moment in rule.resumed.get(name, [])]
        self.stopped_at: datetime | None = None
        self._begin("normal")

    def _begin(self, state: Severity) -> None:
        self.state, self.past = state, list[bool]()

    def decide(self, at: datetime, lot: Sequence[float | None]) -> str | None:
        """Decision on the next lot (units, inspected, nonconforming)."""
        stopped_at = self.stopped_at
        if stopped_at is not None:
            if not any(stopped_at < moment <= at for moment in self.resumed):
                return "stopped"
            self.stopped_at = None
            self._begin("tightened")
        units, inspected, found = lot
        if units is None or inspected is None or found is None or not 0 <= found <= inspected <= units or units < 2:
            return None
        try:
            plan = plan_for(int(units), self.aql, self.rule.level, self.state)
        except UnknownPlanError:
            return None
        if inspected < plan.size:
            return None
        self.past.append(found <= plan.accept)
        self._switch(at)
        return "accepted" if found <= plan.accept else "rejected"

    def _switch(self, at: datetime) -> None:
        """2 of 5 rejected: tightened; 5 accepted: normal again; 5 rejected in all under tightened: stopped."""
        if self.state == "normal":
            if self.past[-5:].count(False) >= 2:
                self._begin("tightened")
        elif self.past.count(False) >= 5:
            self.stopped_at = at
        elif len(self.past) >= 5 and all(self.past[-5:]):
            self._begin("normal")


def _utc(moment: datetime) -> datetime:
    """UTC without its mark, as the lake's moments are."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
