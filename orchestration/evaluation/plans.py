"""Does a plan help? Each plant is run twice over the same work, by the plan and by the rule, and costs are compared.

Plans are made from what the platform knows; what counts is what then really happens: true values of cells, durations as
they turn out, the load as it was, failures as they come. Limits are checked anew by code that knows no solver.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, cast

import numpy as np

from models.optimizer.plan_spec import Cutting, LoadShift, Matching, PlanPart, Schedule, Slotting, Stock
from models.optimizer.spec import OptimizerSpec
from orchestration.benchmarks.outcome import over_draws
from orchestration.evaluation import plan_flows, plan_trials
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.plan_trials import Trial

_TRIALS: dict[type[PlanPart], Callable[[Any, Ground, int], Trial]] = {
    Cutting: plan_trials.cutting,
    Matching: plan_trials.matching,
    Stock: plan_trials.stock,
    Slotting: plan_flows.slotting,
    Schedule: plan_flows.schedule,
    LoadShift: plan_flows.load_shift,
}


def evaluate(spec: OptimizerSpec, kind: PlanPart, ground: Ground) -> Evaluation:
    """Pair the plan with its rule in every plant; the gain is the share of the rule's cost that the plan takes away."""
    begun, trials = perf_counter(), []
    for no, seed in enumerate(ground.seeds):
        ground.tell(f"plant {seed}", no, len(ground.seeds))
        trials.append(_TRIALS[type(kind)](kind, ground, seed))
    gain = over_draws([one.gain for one in trials], "plants")
    low, high = cast("float", gain.low), cast("float", gain.high)
    crossed = [text for one in trials for text in one.crossed]
    told = f"takes {gain.value:.1%} [{low:.1%}, {high:.1%}] of what the rule costs away"
    return Evaluation(
        "working" if low > 0 and not crossed else "failing",
        told + (f"; crossed: {crossed[0]}" if crossed else ""),
        metric=trials[0].measure,
        value=float(np.mean([one.cost for one in trials])),
        baseline=float(np.mean([one.rule_cost for one in trials])),
        threshold=0.0,
        interval=(low, high),
        figures={
            "gain": gain.value,
            "interval_of": "share of the rule's cost taken away, Student's t over plants",
            "rule": trials[0].rule,
            "seeds": list(ground.seeds),
            "gain_by_seed": [one.gain for one in trials],
            "plans": sum(one.plans for one in trials),
            "seconds": round(perf_counter() - begun, 2),
            "crossed": crossed,
            "solution": spec.solution,
        },
    )
