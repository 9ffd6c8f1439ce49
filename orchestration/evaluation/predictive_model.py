"""Does a predictive model predict? By the figures of its version on the later, lot-grouped hold-out that judged it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from models.optimizer.setpoint_spec import SetpointSearch
from models.optimizer.spec import OptimizerSpec
from models.solution import SolutionSpec
from models.spec import PredictiveSpec
from orchestration.catalogue import discover
from orchestration.evaluation.ceilings import noise_sd
from orchestration.evaluation.evidence import Evidence
from orchestration.evaluation.ground import Ground
from orchestration.evaluation.lines import Line, verdict
from orchestration.evaluation.outcome import Evaluation

MIN_SKILL = 0.20
CEILING_SHARE = 0.9
MAX_CALIBRATION_ERROR = 0.03
MAX_COVERAGE_GAP = 0.02
# Where a table has no lots the mean over all stands in for a lot's; without time there is no last value.
_NAIVE = (("lot_mean", "running_mean", "prior"), ("last_value",))


def evaluate(spec: SolutionSpec, ground: Ground) -> Evaluation:
    """Hold the figures of the solution's version against the lines of predictive models."""
    own = cast("PredictiveSpec", spec)
    is_asked = own.solution in asked_by_searches()
    noise = noise_sd(own, ground.site, is_asked=is_asked) if own.task == "regression" else None
    return judged(own, ground.evidence(spec), noise)


def asked_by_searches() -> set[str]:
    """Solutions that a search of set-points asks what would be at other ones."""
    kinds = [spec.optimizer for spec in discover() if isinstance(spec, OptimizerSpec)]
    return {kept.solution for kind in kinds if isinstance(kind, SetpointSearch) for kept in kind.keep}


def judged(own: PredictiveSpec, found: Evidence, noise: float | None) -> Evaluation:
    """Hold the hold-out's figures against the lines of predictive models.

    Args:
        own: the solution.
        found: what its nights left.
        noise: standard deviation of the target that nobody can know; None where that is not known either.
    """
    gains = found.figures("beats_baseline")
    if not gains:
        return Evaluation("not_run", found.cannot_tell)
    naive = [next((name for name in names if name in gains), None) for names in _NAIVE]
    beaten = [name for name in naive if name is not None]
    lines = [_beats(name, gains[name]) for name in beaten]
    if own.is_classification:
        lines += [*_costs(gains), _calibrated(found.figures("calibration"))]
    else:
        lines += [_skilled(gains, noise), *_covers(found.figures("calibration"))]
    worst = min(beaten, key=lambda name: _number(gains[name]["low"]))
    night = found.night or {}
    return verdict(
        lines,
        metric=f"{own.primary_metric} on the later hold-out",
        value=found.metrics.get(own.primary_metric, night.get("metric_value")),
        baseline=night.get("baseline_value"),
        threshold=0.0,
        interval=(_number(gains[worst]["low"]), _number(gains[worst]["high"])),
        figures={
            "interval_of": f"loss taken away from {_words(worst)}, paired by groups",
            "skill": gains["skill"],
            "version": found.version.number if found.version else None,
            "rows": found.verdict.get("rows"),
            "gains": {name: gains[name] for name in beaten},
        },
    )


def _number(value: Any) -> float:
    """A figure that JSON may hold as text where it is not finite."""
    return float(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _beats(name: str, gain: Mapping[str, Any]) -> Line:
    low, high = _number(gain["low"]), _number(gain["high"])
    found = f"gain over {_words(name)} {_number(gain['gain']):.4g} [{low:.4g}, {high:.4g}]"
    return Line("a paired 95 % interval above zero", found, low > 0)


def _skilled(gains: Mapping[str, Any], noise: float | None) -> Line:
    """Skill over the lot's mean enough, or nearly all that noise leaves."""
    skill, reference = gains["skill"], next(name for name in _NAIVE[0] if name in gains)
    if noise is None:
        return Line(f"at least {MIN_SKILL:.2f}", f"skill {skill:.3f}", skill >= MIN_SKILL)
    ceiling = max(0.0, 1 - noise / math.sqrt(_number(gains[reference]["loss"])))
    enough = min(MIN_SKILL, CEILING_SHARE * ceiling)
    found = f"skill {skill:.3f} where noise leaves {ceiling:.3f}"
    return Line(f"at least {enough:.3f}", found, skill >= enough)


def _costs(gains: Mapping[str, Any]) -> list[Line]:
    """Decisions cheaper than none and than all, where costs are given."""
    if "expected_cost" not in gains:
        return []
    own = _number(gains["expected_cost"])
    return [
        Line(f"less than to {_words(name)}", f"cost {own:.4g} beside {_number(gains[name]):.4g}", own < gains[name])
        for name in ("flag_none", "flag_all")
    ]


def _calibrated(figures: Mapping[str, Any]) -> Line:
    error = _number(figures.get("calibration_error", math.nan))
    return Line(f"at most {MAX_CALIBRATION_ERROR}", f"calibration error {error:.4f}", error <= MAX_CALIBRATION_ERROR)


def _covers(figures: Mapping[str, Any]) -> list[Line]:
    """Coverage of conformal intervals, where there are any."""
    if "coverage" not in figures:
        return []
    coverage, nominal = _number(figures["coverage"]), _number(figures["nominal"])
    return [
        Line(
            "within 2 points",
            f"{100 * coverage:.1f} % of the intervals hold, {100 * nominal:.0f} % promised",
            abs(coverage - nominal) <= MAX_COVERAGE_GAP,
        )
    ]
