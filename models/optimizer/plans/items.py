"""What a plan says of its items, whatever its kind: answers, the tasks as they stand now, and the plan's figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import pyarrow as pa

from models.features.source import Tables
from models.optimizer.plan_spec import PlanPart
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import RuleAnswers
from pipelines.optimizers.weigh import Weighed

P = TypeVar("P", bound=PlanPart)
_MOMENT = pa.timestamp("us")


@dataclass(frozen=True)
class Item:
    """What the plan does with one item, and what the rule would.

    Attributes:
        keys: as the solution's keys.
        verdict: what is to be done, one word. value: its figure in the kind's unit.
        is_changed: whether the plan does something else than the rule.
        place, rule_place: lane, module or rolls. starts_at, ends_at, rule_starts_at: moments (UTC, naive).
        because: what is to be known of it.
    """

    keys: tuple[Any, ...]
    verdict: str
    value: float
    is_changed: bool
    because: str = ""
    place: str | None = None
    rule_place: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    rule_starts_at: datetime | None = None


@dataclass(frozen=True)
class Case:
    """A plan with its items.

    Attributes:
        scope: what is planned together. measure: name of its cost, with the unit.
        weighed: plan and rule. items: each once.
        curves: what its picture shows: by name, numbers at even steps.
    """

    scope: str
    measure: str
    weighed: Weighed[Any]
    items: list[Item]
    curves: dict[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What a kind reads from: the solution, its open tables, the site's cells of a module, and the plant's now."""

    spec: OptimizerSpec
    tables: Tables
    now: datetime
    cells_per_module: int

    def read(self, sql: str, *parameters: object) -> pa.Table:
        """Run a query."""
        return self.tables.arrow(sql, list(parameters))


Reader = Callable[[Asked, P], list[Case]]


def told(spec: OptimizerSpec, kind: PlanPart, cases: list[Case], now: datetime) -> RuleAnswers:
    """Answers for every item of every plan, the tasks as they stand now, and the plans' figures."""
    rows = [(case, item) for case in cases for item in case.items]
    keys = {key: pa.chunked_array([pa.array([item.keys[no] for _, item in rows])]) for no, key in enumerate(spec.keys)}
    return RuleAnswers(
        keys=keys,
        event_at=pa.array([now] * len(rows), _MOMENT),
        answers={
            "value": [float(item.value) for _, item in rows],
            "class": [item.verdict for _, item in rows],
            "is_flagged": [item.is_changed and _pays(kind, case) for case, item in rows],
            "reasons": [_reasons(case, item) for case, item in rows],
        },
        checks=checks(cases),
        further={"plan": _figures(cases)},
        current={"task": _tasks(keys, rows)},
    )


def _pays(kind: PlanPart, case: Case) -> bool:
    return not case.weighed.faults and case.weighed.gain >= kind.min_gain


def _reasons(case: Case, item: Item) -> str:
    weighed = case.weighed
    parts = [
        {
            "feature": case.measure,
            "value": round(weighed.cost, 6),
            "limit": f"the rule needs {weighed.rule_cost:.6g}; no plan less than {weighed.bound:.6g}",
        },
        {"feature": item.verdict, "value": round(item.value, 6), "limit": item.because or case.scope},
    ]
    return json.dumps(parts)


def _tasks(keys: dict[str, pa.ChunkedArray], rows: list[tuple[Case, Item]]) -> pa.Table:
    items = [item for _, item in rows]
    texts = {name: [getattr(item, name) for item in items] for name in ("place", "rule_place")}
    moments = {name: [getattr(item, name) for item in items] for name in ("starts_at", "ends_at", "rule_starts_at")}
    return pa.table(
        {
            **keys,
            "scope": pa.array([case.scope for case, _ in rows]),
            "verdict": pa.array([item.verdict for item in items]),
            "value": pa.array([float(item.value) for item in items]),
            **{name: pa.array(values, pa.string()) for name, values in texts.items()},
            **{name: pa.array(values, _MOMENT) for name, values in moments.items()},
        }
    )


def _figures(cases: list[Case]) -> pa.Table:
    numbers = ("cost", "rule_cost", "bound", "gain", "gap")
    return pa.table(
        {
            "scope": pa.array([case.scope for case in cases]),
            "measure": pa.array([case.measure for case in cases]),
            "item_count": pa.array([len(case.items) for case in cases], pa.int64()),
            **{name: pa.array([float(getattr(case.weighed, name)) for case in cases]) for name in numbers},
        }
    )


def checks(cases: list[Case]) -> dict[str, tuple[bool, str]]:
    """What is to be known of plans before anybody follows them."""
    broken = [f"{case.scope}: {case.weighed.faults[0]}" for case in cases if case.weighed.faults]
    worse = [case.scope for case in cases if case.weighed.cost > case.weighed.rule_cost * (1 + 1e-9)]
    gains = ", ".join(f"{case.scope} {case.weighed.gain:.1%}" for case in cases[:5])
    return {
        "within_limits": (not broken, "; ".join(broken)),
        "within_rate": (True, "a plan moves no set-point"),
        "fresh": (True, "only what waits now is planned"),
        "steady": (True, "a plan follows no gauge"),
        "gain_known": (
            not worse,
            f"worse than the rule: {', '.join(worse)}" if worse else f"less than the rule: {gains}",
        ),
    }
