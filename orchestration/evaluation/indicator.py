"""Does an indicator count rightly? Its figures are worked out again from the rows by other means, and added up."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.indicator.spec import IndicatorSpec
from models.solution import SolutionSpec
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.indicators.anew import Asked
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation
from orchestration.evaluation.rows import newest_answers
from pipelines.lake.home import Home

if TYPE_CHECKING:
    import pandas as pd

    from orchestration.evaluation.indicators.anew import Anew

TOLERANCE = 1e-9
STEPS = "marts.step_cost_day"
"""The table whose costs are worked out again; its meters, orders and rates are known."""
KINDS = {
    "alarms": "orchestration.evaluation.indicators.alarms:worked_anew",
    "suppliers": "orchestration.evaluation.indicators.suppliers:worked_anew",
    "oee": "orchestration.evaluation.indicators.oee:worked_anew",
    "cost": "orchestration.evaluation.indicators.cost:worked_anew",
}
"""What works each kind out again, imported on first use.

Each takes an `Asked` and gives an `Anew`.
"""


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Work every answer out anew and compare; add the parts up at every level."""
    own, night = cast("IndicatorSpec", spec), ground.evidence(spec).night or {}
    home, kind = cast("Home", ground.home), own.indicator.kind
    if kind not in KINDS or (kind == "cost" and own.table != STEPS):
        return Evaluation("not_run", f"figures of kind '{kind}' are not worked out by other means yet")
    answers = newest_answers(own, home, str(night.get("champion_version"))).to_pandas()
    if answers.empty:
        return Evaluation("not_run", "it has answered nothing yet")
    asked = Asked(own, ground.site, home, night["at"], int(answers["lake_snapshot"].max()))
    anew: Anew = resolve_name(KINDS[kind])(asked)
    return judged(answers.set_index(own.keys), anew)


def judged(told: pd.DataFrame, anew: Anew) -> Evaluation:
    """Compare figures with those worked out anew.

    Args:
        told: the answers by their keys: `value` and `class`.
        anew: the same by other means.
    """
    both = told[["value", "class"]].join(anew.answers, rsuffix="_anew", how="outer")
    worst = _apart(both["value"].to_numpy(dtype=float), both["value_anew"].to_numpy(dtype=float))
    lines = [Line(f"at most {TOLERANCE:g}", f"{len(both):,} figures differ by at most {worst:.1e}", worst <= TOLERANCE)]
    if "class_anew" in both:
        agree = int(np.count_nonzero(both["class"].fillna("") == both["class_anew"].fillna("")))
        lines.append(Line("all of them", f"{agree:,} of {len(both):,} classes are the same", agree == len(both)))
    gap = anew.gap
    lines.append(Line(f"at most {TOLERANCE:g}", f"{anew.parts} miss the whole by at most {gap:.1e}", gap <= TOLERANCE))
    figures = {"rows": len(both), "gap": gap}
    return verdict(
        lines, metric="largest relative difference from the figures worked out anew", value=worst, baseline=None,
        threshold=TOLERANCE, figures=figures,
    )  # fmt: skip


def _apart(told: Any, anew: Any) -> float:
    """The largest relative difference; one that only one of them knows is infinitely apart."""
    both = np.isnan(told) & np.isnan(anew)
    differs = np.where(both, 0.0, np.nan_to_num(np.abs(told - anew) / np.maximum(np.abs(anew), 1e-12), nan=np.inf))
    return float(np.max(differs))
