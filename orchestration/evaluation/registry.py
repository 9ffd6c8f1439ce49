"""Which module evaluates a family, by the name of its component; a family without one is told as not run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

from models.families import family_of
from models.solution import SolutionSpec
from orchestration.evaluation.evidence import MEND, ran
from orchestration.evaluation.lines import beside
from orchestration.evaluation.outcome import Evaluation

if TYPE_CHECKING:
    from orchestration.evaluation.catalogue import Row
    from orchestration.evaluation.ground import Ground

EVALUATORS = {
    "Optimizer": "orchestration.evaluation.optimizer:evaluate",
    "PredictiveModel": "orchestration.evaluation.predictive_model:evaluate",
    "SurvivalModel": "orchestration.evaluation.survival_model:evaluate",
    "Forecast": "orchestration.evaluation.forecast:evaluate",
    "ProcessMonitor": "orchestration.evaluation.process_monitor:evaluate",
    "AnomalyDetector": "orchestration.evaluation.anomaly_detector:evaluate",
    "DecisionRule": "orchestration.evaluation.decision_rule:evaluate",
    "Indicator": "orchestration.evaluation.indicator:evaluate",
    "Traceability": "orchestration.evaluation.traceability:evaluate",
    "Assistant": "orchestration.evaluation.assistant:evaluate",
}
"""Imported on first use; each takes the solution and the ground."""
ON_THE_TWIN = {"Optimizer"}
"""Families that are measured on plants of their own and so can be before the home's first night."""


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Measure a solution by its family's evaluator, and what is asked of every solution by what its nights left."""
    component = family_of(spec).component
    found = EVALUATORS.get(component)
    if found is None:
        return Evaluation("not_run", f"there is no evaluator of {component} yet")
    evidence = ground.evidence(spec)
    waits = _waits(evidence.night)
    if waits and component not in ON_THE_TWIN:
        return Evaluation("not_run", waits)
    if evidence.night is not None and evidence.night["state"] == "failing":
        return Evaluation("failing", f"its last night failed: {evidence.night['reason']}")
    measured = cast("Evaluation", resolve_name(found)(spec, ground))
    if measured.verdict == "not_run":
        return measured
    if waits:
        return replace(measured, verdict="not_run", reason=f"on the twin it {measured.reason}; but {waits}")
    return beside(measured, ran(spec, evidence))


def _waits(night: Mapping[str, Any] | None) -> str:
    """Why nothing can be said of a solution's nights, and what to do; empty where something can."""
    if night is None:
        return f"this home has had no night of it: {MEND}"
    if night["state"] == "working" and night["last_trained"] is None and night["last_scored"] is None:
        return f"{night['reason'] or 'it has learnt and answered nothing yet'}: {MEND} when there is more data"
    return ""


def of_row(row: Row, specs: Iterable[SolutionSpec], found: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The verdict of a row of the catalogue from those of its folders.

    A row works when all its folders do and there is one of every family that it is made of; it fails as soon as one
    of them does.

    Args:
        row: of the catalogue.
        specs: solutions that there are.
        found: evaluation of each of the row's folders that is there, by stage/slug.
    """
    known = {spec.solution: spec for spec in specs if spec.solution in row.parts}
    parts = [{**found[name].row(spec), "solution": name} for name, spec in known.items()]
    open_points = [f"{name}: no folder yet" for name in row.parts if name not in known]
    families = {part["family"] for part in parts}
    open_points += [f"no {family} yet" for family in row.families if known and family not in families]
    ranked = sorted(parts, key=lambda part: ("failing", "not_run", "working").index(part["verdict"]))
    leads = ranked[0] if ranked else asdict(Evaluation("not_run", ""))
    verdict = leads["verdict"]
    if verdict == "working" and open_points:
        verdict = "not_run"
    told = [
        part["reason"] if len(parts) == 1 else f"{part['solution']} {part['verdict']}: {part['reason']}"
        for part in ranked
    ]
    reason = "; ".join([*told, *open_points]) if known else "no folder yet"
    return {
        "number": row.number,
        "stage": row.stage,
        "slug": row.slug,
        "family": " + ".join(row.families),
        "asks": row.asks,
        "acts_at": row.acts_at,
        "actions": row.actions,
        "verdict": verdict,
        "reason": reason,
        **{name: leads[name] for name in ("metric", "value", "baseline", "threshold", "interval")},
        "folders": row.parts,
        "parts": parts,
    }
