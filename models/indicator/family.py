"""The family's one function: the figures of its kind, told by the rule that the YAML is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from models.context import ModelContext
from models.features.source import open_tables
from models.indicator.oee import LossTree, loss_tree
from models.indicator.spec import IndicatorSpec
from models.indicator.waterfall import waterfall
from models.scoring.rule import RuleAnswers, score_by_rule
from models.scoring.score import ScoreReport

FORMAT = 1
"""Of what the engine makes of a YAML; part of the rule's name."""


def score(spec: IndicatorSpec, ctx: ModelContext) -> ScoreReport:
    """Work out the figures of every row of the keys' level, and tell what is new; see `score_by_rule`.

    Beside `solutions.<slug>` it writes `solutions.<slug>_figure` and `solutions.<slug>_loss`, the figures and losses of
    all levels, and the picture of the whole.

    Raises:
        CellworksError: the figures do not reconcile, or a column is missing; nothing is written then.
    """

    def answer(now: datetime) -> RuleAnswers | None:
        with open_tables(ctx, spec.table) as tables:
            tree = loss_tree(tables, spec.table, spec.indicator, spec.keys, now)
        if not tree.answers.num_rows:
            return None
        waterfall(tree.figures, tree.losses, spec.solution, ctx.home.report_dir(spec.slug) / "loss_waterfall.png")
        return _told(spec, tree)

    return score_by_rule(spec, ctx, FORMAT, answer)


def _told(spec: IndicatorSpec, tree: LossTree) -> RuleAnswers:
    rows = tree.answers
    return RuleAnswers(
        keys={key: rows.column(key) for key in spec.keys},
        event_at=rows.column("event_at").combine_chunks(),
        answers={name: rows.column(name).combine_chunks() for name in ("value", "class", "is_flagged", "reasons")},
        checks=checks(tree),
        current={"figure": tree.figures, "loss": tree.losses},
    )


def checks(tree: LossTree) -> dict[str, tuple[bool, str]]:
    """What is to be known of the figures before anybody trusts them."""
    return {
        "adds_up": (True, "losses and fully productive time are the calendar time, at every level"),
        "all_mapped": (not tree.unmapped, _listed("states without a time element: ", dict.fromkeys(tree.unmapped))),
        "plausible": (not tree.too_fast, _listed("faster than the ideal cycle: ", tree.too_fast)),
        "complete": (not tree.unrecorded, _listed("time without a state: ", tree.unrecorded)),
    }


def _listed(what: str, found: Mapping[str, float | None], most: int = 5) -> str:
    """The first of them with their figure, and how many more; empty for none."""
    if not found:
        return ""
    named = [name if value is None else f"{name} ({value:.2%})" for name, value in list(found.items())[:most]]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{what}{', '.join(named)}{more}"
