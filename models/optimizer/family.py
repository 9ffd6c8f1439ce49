"""The family's one function: what is to be set next, by the kind of optimiser that the YAML names."""

from __future__ import annotations

from models.context import ModelContext
from models.optimizer.run_to_run import answer
from models.optimizer.spec import OptimizerSpec
from models.scoring.rule import score_by_rule
from models.scoring.score import ScoreReport

FORMAT = 1
"""Of what the engine makes of a YAML; part of the rule's name."""


def score(spec: OptimizerSpec, ctx: ModelContext) -> ScoreReport:
    """Work out the advice of each machine at the plant's now, and tell it where it is new; see `score_by_rule`.

    Beside `solutions.<slug>` it writes `solutions.<slug>_move`: what an action needs, and the figures behind it.

    Raises:
        CellworksError: the control plan does not allow the move, or a column is missing.
    """
    return score_by_rule(spec, ctx, FORMAT, lambda now: answer(spec, ctx, now))
