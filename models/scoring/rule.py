"""Scoring by a rule, the way of every family that learns nothing: the rule in the YAML is the version."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from models.context import ModelContext
from models.scoring.score import ScoreReport, scoring_moment, told_of
from models.scoring.table import answer_table, append_answers, news, not_current
from models.solution import RuleSpec
from pipelines.lake.clock import wall_now

_NO_RULE = {"stage", "slug", "question", "owner", "description", "domain", "trigger", "action", "resources"}


@dataclass(frozen=True)
class RuleAnswers:
    """What a rule says of every row, told before or not.

    Attributes:
        keys: key columns by name.
        event_at: datetime64[us] per row, the moment that the row is of; None for a table without time.
        answers: as `answer_table` takes them. A `class` that is null says that nothing can be decided yet.
        checks: check -> whether it passed, and a sentence.
        further: what is no answer for an entity, by the end of its table's name (`solutions.<slug>_<end>`); rule,
            snapshot and moments are added to it. Appended with new answers.
        current: likewise, but the whole as it stands now, with nothing added: it takes the place of what was there.
    """

    keys: Mapping[str, pa.ChunkedArray]
    event_at: Any | None
    answers: Mapping[str, Any]
    checks: Mapping[str, tuple[bool, str]]
    further: Mapping[str, pa.Table] = field(default_factory=dict)
    current: Mapping[str, pa.Table] = field(default_factory=dict)


def rule_version(spec: RuleSpec, engine: int) -> str:
    """Name of the rule: it changes with what the YAML says of the answers, and with how the engine reads it.

    Args:
        spec: the solution; its texts, owner, trigger, action and resources decide nothing.
        engine: number that the family raises when the same YAML comes to mean another thing.
    """
    said = json.dumps([engine, spec.model_dump(mode="json", exclude=_NO_RULE)], sort_keys=True)
    return f"rule-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def score_by_rule(
    spec: RuleSpec, ctx: ModelContext, engine: int, answer: Callable[[datetime], RuleAnswers | None]
) -> ScoreReport:
    """Let the rule answer for every row, and append to `solutions.<slug>` what was not told before.

    Late or corrected rows may change an answer: the new one is appended, what was told stays to be seen, and the check
    `stands` names their number.

    Args:
        spec: the solution.
        ctx: snapshot and moment.
        engine: see `rule_version`.
        answer: the family's own part, at the plant's now; None where there is no row.
    """
    begun, since = time.perf_counter(), wall_now()
    version, now = rule_version(spec, engine), scoring_moment(ctx)
    found = answer(now)
    if found is None:
        return ScoreReport(spec.name, version, skipped=f"the table '{spec.table}' has no rows yet")
    rows = answer_table(found.keys, found.event_at, found.answers, now, (version, ctx.snapshot))
    answered = time.perf_counter()
    fresh, revised = news(ctx.home, spec, rows)
    changed = not_current(ctx.home, spec, found.current)
    if fresh.num_rows or changed:
        stamped = {end: _stamped(table, rows) for end, table in found.further.items()} if fresh.num_rows else {}
        append_answers(ctx.home, spec, fresh, since, stamped, changed)
    ended = time.perf_counter()
    stands = (revised == 0, f"answers changed as rows came late or were corrected: {revised:,}" if revised else "")
    return ScoreReport(
        spec.name,
        version,
        skipped="" if fresh.num_rows else "no row that it has not answered for",
        checks={"stands": stands, **found.checks},
        **told_of(fresh, now, {"answer": answered - begun, "write": ended - answered, "total": ended - begun}),
    )


def _stamped(table: pa.Table, rows: pa.Table) -> pa.Table:
    """A further table with what every answer tells of itself."""
    for name in ("model_version", "lake_snapshot", "predicted_at", "scored_at"):
        column = rows.column(name)
        table = table.append_column(name, pa.repeat(column[0], table.num_rows))
    return table
