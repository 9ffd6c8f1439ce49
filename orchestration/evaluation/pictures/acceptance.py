"""Acceptance sampling: what the plans in use let pass, and the verdicts on the lots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from models.context import ModelContext
from models.decision_rule.spec import DecisionSpec, Sampling
from models.features.source import open_tables
from models.scoring.table import relation
from orchestration.evaluation.pictures.canvas import BLUE, GREY, RED, SAND, by_date, legend, room_above, sheet, words
from pipelines.lake.sql import quote_identifier
from pipelines.sampling.iso2859 import UnknownPlanError, chance_of_acceptance, plan_for

_SEVERITIES = (("normal", "-"), ("tightened", "--"))
_VERDICTS = {"accepted": GREY, "rejected": RED, "stopped": SAND}


def draw_sampling(spec: DecisionSpec, rule: Sampling, ctx: ModelContext, answers: pa.Table) -> Any:
    """Operating characteristic of the plan of the usual lot, and lots by verdict and week.

    Args:
        spec: the rule.
        rule: its sampling.
        ctx: where the tables are.
        answers: rows by `day` and `class` with how many they are, `rows`.
    """
    figure, axes = sheet(spec.solution, 1, 2)
    _curves(axes[0, 0], rule, _usual_lot(spec, rule, ctx))
    _verdicts(axes[0, 1], answers)
    return figure


def _usual_lot(spec: DecisionSpec, rule: Sampling, ctx: ModelContext) -> int:
    """Units of the median lot that was judged."""
    keys = ", ".join(quote_identifier(key) for key in spec.keys)
    with open_tables(ctx, relation(spec.slug)) as tables:
        rows = tables.arrow(
            f"SELECT quantile_disc({quote_identifier(rule.lot_size)}, 0.5)::BIGINT AS units "
            f"FROM {tables.relation(spec.table)} JOIN {relation(spec.slug)} USING ({keys})"
        )
    return int(rows["units"][0].as_py() or 2)


def _curves(axis: Any, rule: Sampling, units: int) -> None:
    limits = {"": rule.aql} if isinstance(rule.aql, float) else rule.aql.of
    share = np.linspace(0.0, 0.2, 201)
    for (name, aql), colour in zip(limits.items(), (BLUE, RED, SAND, GREY), strict=False):
        for severity, style in _SEVERITIES:
            try:
                plan = plan_for(units, aql, rule.level, severity)
            except UnknownPlanError:
                continue
            told = f"{words(name)} {severity}: {plan.size}, Ac {plan.accept}".strip()
            axis.plot(100 * share, chance_of_acceptance(plan, share), style, color=colour, linewidth=1.3, label=told)
        axis.axvline(aql, color=colour, linewidth=0.8, alpha=0.5)
    axis.set_title(f"a lot of {units:,}, level {rule.level}; vertical: the AQL", fontsize=9)
    axis.set_xlabel("nonconforming units, %")
    axis.set_ylabel("chance of acceptance")
    axis.set_ylim(0, 1.02)
    legend(axis)


def _verdicts(axis: Any, answers: pa.Table) -> None:
    """Stacked bars, a week each."""
    day = answers["day"].to_numpy(zero_copy_only=False).astype("datetime64[D]")
    week = day.astype("datetime64[W]").astype("datetime64[D]")
    weeks = np.unique(week)
    kind, rows = (answers[name].to_numpy(zero_copy_only=False) for name in ("class", "rows"))
    below = np.zeros(len(weeks))
    for name, colour in _VERDICTS.items():
        counts = np.array([rows[(week == each) & (kind == name)].sum() for each in weeks])
        axis.bar(weeks, counts, 5.5, align="edge", bottom=below, color=colour, label=f"{name} ({int(counts.sum()):,})")
        below = below + counts
    axis.set_title("verdicts on lots, by week", fontsize=9)
    room_above(axis, list(below))
    by_date(axis)
    legend(axis, ncols=3, loc="upper left")
