"""The family's one function: the figures of whichever kind, told by the rule that the YAML is."""

from __future__ import annotations

from datetime import datetime

from models.context import ModelContext
from models.features.source import Tables, open_tables
from models.indicator.alarms import alarm_figures
from models.indicator.alarms_spec import Alarms
from models.indicator.cost import cost_ledger
from models.indicator.cost_spec import Cost
from models.indicator.levels import Figures
from models.indicator.oee import checks, loss_tree
from models.indicator.oee_spec import Oee
from models.indicator.spec import IndicatorSpec
from models.indicator.waterfall import waterfall
from models.scoring.rule import RuleAnswers, score_by_rule
from models.scoring.score import ScoreReport

FORMAT = 1
"""Of what the engine makes of a YAML; part of the rule's name."""
CHECKS = ("adds_up", "all_mapped", "plausible", "complete")


def score(spec: IndicatorSpec, ctx: ModelContext) -> ScoreReport:
    """Work out the figures of every row of the keys' level, and tell what is new; see `score_by_rule`.

    Beside `solutions.<slug>` it writes the figures of all levels and their parts to tables of their own; the kind says
    which.

    Raises:
        CellworksError: the figures do not reconcile, or a column is missing; nothing is written then.
    """

    def answer(now: datetime) -> RuleAnswers | None:
        with open_tables(ctx, spec.table) as tables:
            found = figures_of(spec, ctx, tables, now)
        return _told(spec, found) if found.answers.num_rows else None

    return score_by_rule(spec, ctx, FORMAT, answer)


def figures_of(spec: IndicatorSpec, ctx: ModelContext, tables: Tables, now: datetime) -> Figures:
    """The figures by their kind.

    Args:
        spec: the indicator.
        ctx: whose reports a picture goes to.
        tables: open connection that sees its tables.
        now: the plant's now (UTC, naive).
    """
    kind = spec.indicator
    if isinstance(kind, Cost):
        return cost_ledger(tables, spec.table, kind, spec.keys)
    if isinstance(kind, Alarms):
        return alarm_figures(tables, spec.table, kind, spec.keys, now)
    return _oee(spec, ctx, tables, kind, now)


def _oee(spec: IndicatorSpec, ctx: ModelContext, tables: Tables, oee: Oee, now: datetime) -> Figures:
    tree = loss_tree(tables, spec.table, oee, spec.keys, now)
    if tree.answers.num_rows:
        waterfall(tree.figures, tree.losses, spec.solution, ctx.home.report_dir(spec.slug) / "loss_waterfall.png")
    return Figures(tree.answers, {"figure": tree.figures, "loss": tree.losses}, checks(tree))


def _told(spec: IndicatorSpec, found: Figures) -> RuleAnswers:
    rows = found.answers
    of_other_kinds = dict.fromkeys(CHECKS, (True, "says nothing of this kind of figures"))
    return RuleAnswers(
        keys={key: rows.column(key) for key in spec.keys},
        event_at=rows.column("event_at").combine_chunks(),
        answers={name: rows.column(name).combine_chunks() for name in ("value", "class", "is_flagged", "reasons")},
        checks=of_other_kinds | found.checks,
        current=found.current,
    )
