"""Scoring: the rule's decision for every row, into the lake."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow.compute as pc

from models.context import ModelContext
from models.decision_rule import conformance, due, grading, sampling, screen
from models.decision_rule.rows import Decisions, Rows, read_rows
from models.decision_rule.site_grades import bound
from models.decision_rule.spec import DecisionSpec
from models.scoring.rule import RuleAnswers, score_by_rule
from models.scoring.score import ScoreReport

ENGINE = 1
"""Raised when the same YAML comes to mean another decision."""


def score(spec: DecisionSpec, ctx: ModelContext) -> ScoreReport:
    """Decide every row, and write what was not told before to `solutions.<slug>`.

    `class` is the decision, null where it has to wait; `reasons` name the numbers and limits behind it.

    Args:
        spec: the solution.
        ctx: snapshot and moment.

    Raises:
        CellworksError: the table lacks a column of the rule, or shows it what is not known at its step, or the site has
            no grades for `grades: site`.
    """
    spec = bound(spec, ctx.site)

    def answer(now: datetime) -> RuleAnswers | None:
        rows = read_rows(spec, ctx)
        if rows is None:
            return None
        decided = _decide(spec, rows, now)
        answers = {
            "class": decided.classes,
            "is_flagged": decided.is_flagged,
            "value": decided.value,
            "reasons": decided.reasons,
        }
        return RuleAnswers(rows.keys, rows.time, answers, _checks(spec, rows, decided), decided.further)

    return score_by_rule(spec, ctx, ENGINE, answer)


def _decide(spec: DecisionSpec, rows: Rows, now: datetime) -> Decisions:
    if spec.sampling is not None:
        return sampling.decide(spec.sampling, rows)
    if spec.screen is not None:
        return screen.decide(spec.screen, rows)
    if spec.grading is not None:
        return grading.decide(spec.grading, rows)
    if spec.conformance is not None:
        return conformance.decide(spec.conformance, rows, now)
    if spec.due is not None:
        return due.decide(spec.due, rows, now)
    raise LookupError("a spec that was validated has a rule")


def _checks(spec: DecisionSpec, rows: Rows, decided: Decisions) -> dict[str, tuple[bool, str]]:
    """Shares of the newest rows that are flagged and that wait: a gauge that is off shows in them first."""
    gates = spec.gates
    newest = np.ones(rows.table.num_rows, dtype=bool)
    if rows.time is not None:
        newest = rows.time > rows.time[-1] - np.timedelta64(int(gates.over_days * 86_400), "s")
    count = int(np.count_nonzero(newest))
    flagged = float(decided.is_flagged[newest].mean())
    waiting = float(np.asarray(pc.is_null(decided.classes).to_numpy(zero_copy_only=False))[newest].mean())
    of = f"of the {count:,} newest rows"
    return {
        "flagged_ratio": (
            not _is_surely_more(int(decided.is_flagged[newest].sum()), count, gates.max_flagged_ratio),
            f"{flagged:.2%} {of} are flagged, {gates.max_flagged_ratio:.2%} may be",
        ),
        "decided": (
            waiting <= gates.max_undecided_ratio,
            f"{waiting:.2%} {of} are not decided, {gates.max_undecided_ratio:.2%} may be; their reasons say why",
        ),
    }


def _is_surely_more(count: int, of: int, ratio: float) -> bool:
    """Whether a share lies above a ratio with its whole 95 % interval (Wilson's): a few lots more are chance."""
    from scipy import stats

    return bool(count > ratio * of and stats.binomtest(count, of).proportion_ci(0.95, "wilson").low > ratio)
