"""Decision rules: how many were decided as what, day by day, and the number that decides beside its limits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from models.context import ModelContext
from models.decision_rule.site_grades import bound
from models.decision_rule.spec import DecisionSpec, Grading, Sampling, Screen
from models.features.source import open_tables
from models.scoring.table import relation
from orchestration.evaluation.pictures.acceptance import draw_sampling
from orchestration.evaluation.pictures.canvas import BLUE, RED, SEVERAL, by_date, legend, room_above, sheet, words
from orchestration.evaluation.pictures.tables import further
from pipelines.lake.sql import quote_identifier

_MOST = 4000
"""Rows of a class that are drawn; of more a part is taken by their keys, so that it is always the same one."""
_MANY = 500


def draw(spec: DecisionSpec, ctx: ModelContext) -> Any | None:
    """The figure of a rule; None where it has decided nothing."""
    answers = _answers(spec, ctx)
    if answers is None:
        return None
    if isinstance(spec.rule, Sampling):
        return draw_sampling(spec, spec.rule, ctx, answers)
    counts = _counts(answers)
    most = max(counts, key=lambda name: sum(counts[name].values()))
    figure, axes = sheet(spec.solution, 2, height=5.2)
    above, below = axes[:, 0]
    _classes(above, {name: days for name, days in counts.items() if name != most})
    above.set_title(f"a day, beside {sum(counts[most].values()):,} {words(most)}", fontsize=9)
    _numbers(below, bound(spec, ctx.site), ctx)
    above.set_xlim(below.get_xlim())
    return figure


def _answers(spec: DecisionSpec, ctx: ModelContext) -> pa.Table | None:
    """Rows by day and class, with how many they are; None where nothing was decided."""
    return further(
        spec,
        ctx,
        then="SELECT CAST(event_at AS DATE) AS day, class, count(*) AS rows "
        "WHERE class IS NOT NULL AND event_at IS NOT NULL GROUP BY ALL ORDER BY ALL",
    )


def _counts(answers: pa.Table) -> dict[str, dict[Any, int]]:
    found: dict[str, dict[Any, int]] = {}
    for row in answers.to_pylist():
        found.setdefault(row["class"], {})[row["day"]] = row["rows"]
    return found


def _classes(axis: Any, counts: dict[str, dict[Any, int]]) -> None:
    """Stacked bars of every class but the usual one, which would hide them."""
    days = sorted({day for each in counts.values() for day in each})
    below = dict.fromkeys(days, 0)
    for name, colour in zip(sorted(counts, key=lambda each: -sum(counts[each].values())), SEVERAL, strict=False):
        heights = [counts[name].get(day, 0) for day in days]
        total = f"{words(name)} ({sum(heights):,})"
        axis.bar(days, heights, 0.85, bottom=[below[day] for day in days], color=colour, label=total)
        below = {day: below[day] + height for day, height in zip(days, heights, strict=True)}
    axis.set_ylabel("decisions")
    axis.yaxis.get_major_locator().set_params(integer=True)
    room_above(axis, list(below.values()))
    by_date(axis)
    if counts:
        legend(axis, ncols=len(counts), loc="upper left")


def _numbers(axis: Any, spec: DecisionSpec, ctx: ModelContext) -> None:
    """The number that decides, of those that were let pass and of those that were not."""
    name, lines = _decides(spec)
    rows = _drawn(spec, ctx, name)
    flagged = rows["is_flagged"].to_numpy(zero_copy_only=False)
    at, value = (rows[column].to_numpy(zero_copy_only=False) for column in ("at", "number"))
    axis.scatter(at[~flagged], value[~flagged], s=3, alpha=0.35, color=BLUE, linewidths=0, label="others")
    axis.scatter(at[flagged], value[flagged], s=_dot(flagged.sum()), color=RED, linewidths=0, label="flagged")
    for line in lines:
        axis.axhline(line, color="0.3", linewidth=0.9, linestyle="--")
    if _is_ratio(spec):
        axis.set_yscale("log")
    axis.set_ylabel(_LABELS.get(type(spec.rule).__name__, words(name)))
    by_date(axis)
    axis.margins(y=0.15)
    legend(axis, loc="upper left", ncols=2, markerscale=2)


_LABELS = {
    "Screen": "distance over the limit",
    "Conformance": "difference, in deviations of the gauge",
    "Due": "error found, over tolerance",
}


def _dot(count: int) -> float:
    """Size of the dots of so many rows: few are to be seen, many not to hide the others."""
    return 14.0 if count < _MANY else 3.0


def _is_ratio(spec: DecisionSpec) -> bool:
    return spec.conformance is not None or spec.due is not None


def _decides(spec: DecisionSpec) -> tuple[str, list[float]]:
    """Column with the number, of the answers (`value`) or of the table, and the limits that are drawn."""
    rule = spec.rule
    if isinstance(rule, Grading):
        column = rule.numbers[0] if rule.numbers else "value"
        bounds = [limits for grade in rule.written if (limits := grade.limits.get(column)) is not None]
        return column, [end for each in bounds for end in (each.at_least, each.at_most) if end is not None]
    if isinstance(rule, Screen):
        return "value", [1.0] if rule.side == "above" else [-1.0] if rule.side == "below" else [-1.0, 1.0]
    return "value", [spec.conformance.most_deviations if spec.conformance else 1.0]


def _drawn(spec: DecisionSpec, ctx: ModelContext, name: str) -> pa.Table:
    """Moment, number and whether it was flagged of the rows that are drawn."""
    keys = ", ".join(f"a.{quote_identifier(key)}" for key in spec.keys)
    joined = "" if name == "value" else _joined(spec, name)
    number = "a.value" if name == "value" else f"t.{quote_identifier(name)}"
    with open_tables(ctx, relation(spec.slug)) as tables:
        table = joined.replace("{table}", tables.relation(spec.table)) if joined else ""
        return tables.arrow(
            f"SELECT a.event_at AS at, {number}::DOUBLE AS number, a.is_flagged "
            f"FROM {relation(spec.slug)} AS a {table} WHERE {number} IS NOT NULL AND a.event_at IS NOT NULL "
            f"QUALIFY row_number() OVER (PARTITION BY a.is_flagged ORDER BY hash({keys})) <= {_MOST}"
        )


def _joined(spec: DecisionSpec, name: str) -> str:
    keys = ", ".join(quote_identifier(key) for key in spec.keys)
    return f"JOIN (SELECT {keys}, {quote_identifier(name)} FROM {{table}}) AS t USING ({keys})"
