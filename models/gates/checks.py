"""The gates, each a function of figures; `models.gates.judge` brings them together."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.evaluation.bootstrap import Interval, PairedMean, paired_mean
from models.evaluation.calibration import calibration_error, calibration_noise
from models.evaluation.evaluate import Evaluation, Outputs
from models.evaluation.metrics import decision_cost, row_loss
from models.gates.verdict import Gate
from models.scoring.runtime import Array
from models.spec import Gates, PredictiveSpec

FALSE_CLAIMS = 0.05
_STRONG = 0.9
# However many rows they have, one or two lots or failures say nothing of the next one, nor does an interval over them.
_EVENT_GROUPS = 3
_SLICE_GROUPS = 5


def judging_loss(spec: PredictiveSpec, classes: list[str], outputs: Outputs) -> Array:
    """Loss per row by which versions are compared: cost of the decisions where costs are given, else proper loss."""
    if spec.costs is None:
        return row_loss(spec, outputs.y, outputs.predicted)
    number = {name: place for place, name in enumerate(classes)}
    decided = np.asarray([number.get(name, 0) for name in outputs.finished["class"]])
    return decision_cost(spec, classes, outputs.y, decided)


def holdout_gate(spec: PredictiveSpec, y: Array, groups: Array, has_group: bool) -> Gate:
    """Whether the hold-out can tell at all."""
    gates = spec.gates
    n_groups = len(np.unique(groups))
    figures: dict[str, Any] = {"rows": len(y), "groups": n_groups if has_group else None}
    short = []
    if len(y) < gates.min_holdout_rows:
        short.append(f"{len(y)} rows of {gates.min_holdout_rows}")
    if has_group and n_groups < gates.min_holdout_groups:
        short.append(f"{n_groups} groups of {gates.min_holdout_groups}")
    if spec.is_classification:
        counts = np.bincount(y.astype(int), minlength=2)
        # Both classes of a binary target; of more classes the two most frequent.
        judged = np.argsort(counts)[-2:]
        figures["smallest_class"] = fewest = int(counts[judged].min())
        events = min(len(np.unique(groups[y == each])) for each in judged)
        figures["event_groups"] = events if has_group else None
        if fewest < gates.min_holdout_positives:
            short.append(f"{fewest} positives of {gates.min_holdout_positives}")
        elif has_group and events < _EVENT_GROUPS:
            short.append(f"positives in {events} groups of {_EVENT_GROUPS}")
    sentence = "the hold-out is too small: " + ", ".join(short) if short else f"the hold-out has {len(y)} rows"
    return Gate("holdout", not short, sentence, figures)


def baseline_gate(spec: PredictiveSpec, classes: list[str], evaluation: Evaluation, groups: Array) -> Gate:
    """Beats every naive baseline, with the paired 95 % interval of the gain above zero; and doing nothing, in cost."""
    outputs = evaluation.outputs
    own = row_loss(spec, outputs.y, outputs.predicted)
    figures: dict[str, Any] = {"skill": evaluation.skill}
    lost = []
    for name, predicted in evaluation.baselines.items():
        gain = paired_mean(own, row_loss(spec, outputs.y, predicted), groups, spec.search.seed)
        low, high = gain.interval
        figures[name] = {"gain": gain.mean, "low": low, "high": high, "loss": gain.reference}
        if low <= 0:
            lost.append(f"the gain over {name.replace('_', ' ')} is {gain.mean:.4g} (95 % {low:.4g} to {high:.4g})")
    if spec.task == "binary" and spec.costs is not None:
        lost += _against_doing_nothing(spec, classes, outputs, figures)
    if spec.task == "regression" and evaluation.skill < spec.gates.min_skill:
        lost.append(f"skill {evaluation.skill:.3f} is below {spec.gates.min_skill}")
    sentence = "; ".join(lost) if lost else f"beats {', '.join(evaluation.baselines)} with skill {evaluation.skill:.3f}"
    return Gate("beats_baseline", not lost, sentence, figures)


def _against_doing_nothing(
    spec: PredictiveSpec, classes: list[str], outputs: Outputs, figures: dict[str, Any]
) -> list[str]:
    """Expected cost against flagging none and flagging all."""
    own = float(judging_loss(spec, classes, outputs).mean())
    figures["expected_cost"] = own
    lost = []
    for name, decided in (("flag_none", 0), ("flag_all", 1)):
        cost = float(decision_cost(spec, classes, outputs.y, np.full(len(outputs.y), decided)).mean())
        figures[name] = cost
        if own >= cost:
            lost.append(f"its decisions cost {own:.4g} per entity, {name.replace('_', ' ')} {cost:.4g}")
    return lost


def claims_better(gain: PairedMean, gates: Gates) -> bool:
    """Whether a challenger may claim to be better than the champion.

    The 5 % of false claims are spread evenly over the nights of the horizon (Bonferroni), so that even all nights
    together give a false claim in at most 5 % of horizons, however the nights' hold-outs overlap.
    """
    return gain.groups >= 2 and gain.lower_bound(FALSE_CLAIMS / gates.horizon_nights) > 0


def champion_gate(gain: PairedMean, gates: Gates, champion: str) -> tuple[Gate, bool]:
    """Not worse than the champion by more than the margin, at one-sided 95 %; and whether it is better."""
    floor = -gates.not_worse_margin * abs(gain.reference)
    low = gain.lower_bound(0.05)
    is_better = claims_better(gain, gates)
    figures = {"gain": gain.mean, "low": low, "margin": floor, "champion_loss": gain.reference, "is_better": is_better}
    if low >= floor:
        word = "better than" if is_better else "not worse than"
        return Gate("not_worse", True, f"{word} champion {champion}", figures), is_better
    sentence = (
        f"may be worse than champion {champion}: gain {gain.mean:.4g}, at 95 % not below {low:.4g}, allowed {floor:.4g}"
    )
    return Gate("not_worse", False, sentence, figures), False


def slice_gate(spec: PredictiveSpec, own: Array, reference: Array, groups: Array, slices: dict[str, Array]) -> Gate:
    """No slice falls behind the reference by more than the tolerance, beyond chance over all slices looked at.

    A column of one value has no slices: it is the whole hold-out, which the other gates judge, and it would only take
    from the chance that the slices share. A slice of a few groups could not fail, so it is named and not judged.
    """
    parts = [
        (f"{column} {value}", rows)
        for column, values in slices.items()
        if len(distinct := np.unique(values)) > 1
        for value in distinct
        if (rows := values == value).sum() >= spec.gates.min_slice_rows
    ]
    judged = [(name, rows) for name, rows in parts if len(np.unique(groups[rows])) >= _SLICE_GROUPS]
    behind, figures = [], {}
    for name, rows in judged:
        gain = paired_mean(own[rows], reference[rows], groups[rows], spec.search.seed)
        fall = -gain.mean / gain.reference if gain.reference > 0 else 0.0
        figures[name] = {"fall": fall, "rows": int(rows.sum())}
        if fall > spec.gates.slice_tolerance and gain.upper_bound(FALSE_CLAIMS / len(judged)) < 0:
            behind.append(f"{name} falls behind by {100 * fall:.0f} %")
    sentence = "; ".join(behind) or f"no slice of {len(judged)} falls behind"
    if thin := [name for name, _ in parts if name not in figures]:
        sentence += f"; too few groups to tell: {', '.join(thin)}"
    return Gate("slices", not behind, sentence, figures)


def calibration_gate(spec: PredictiveSpec, outputs: Outputs, metrics: dict[str, Interval]) -> Gate:
    """Probabilities: calibration error; intervals: coverage. Each limit gives way to what chance alone would show."""
    if spec.is_classification:
        p, y = outputs.predicted, outputs.y
        if p.ndim == 2:
            p, y = p.max(axis=1), (p.argmax(axis=1) == y).astype(np.float64)
        error, noise = calibration_error(p, y), calibration_noise(p, spec.search.seed)
        limit = max(spec.gates.max_calibration_error, noise)
        figures = {"calibration_error": error, "limit": spec.gates.max_calibration_error, "chance": noise}
        return Gate("calibration", error <= limit, f"calibration error {error:.4f}, allowed {limit:.4f}", figures)
    nominal = spec.nominal_coverage
    coverage = metrics["coverage"]
    half = (coverage.high - coverage.low) / 2 if np.isfinite(coverage.high) else 1.0
    limit = max(spec.gates.max_coverage_gap, half)
    figures = {"coverage": coverage.value, "nominal": nominal, "allowed_gap": limit}
    sentence = f"{100 * coverage.value:.1f} % of the intervals hold, {100 * nominal:.0f} % promised"
    return Gate("calibration", abs(coverage.value - nominal) <= limit, sentence, figures)


def speed_gate(spec: PredictiveSpec, outputs: Outputs) -> Gate:
    """Scores within its time limit; small hold-outs are charged as 1,000 rows."""
    each = outputs.seconds * 1000 / max(len(outputs.y), 1000)
    limit = spec.gates.max_seconds_per_1000_rows
    return Gate(
        "speed", each <= limit, f"{each:.4f} s per 1,000 rows, allowed {limit} s", {"seconds": each, "limit": limit}
    )


def inputs_gate(tags: dict[str, str]) -> Gate:
    """What it was trained on was published and passed its expectations (as the training run noted)."""
    origin, passed = tags.get("inputs", ""), tags.get("inputs_passed", "")
    figures = {"inputs": origin, "inputs_passed": passed}
    if passed == "false":
        return Gate("inputs", False, "it was trained on data whose expectations failed", figures)
    if origin == "file":
        return Gate("inputs", True, "trained on a file: types and keys were checked while reading", figures)
    if origin not in ("published", "own_table"):
        return Gate("inputs", False, "it was trained on a snapshot that was never published", figures)
    if passed != "true":
        return Gate("inputs", False, "nobody checked the expectations of what it was trained on", figures)
    if origin == "own_table":
        return Gate("inputs", True, "trained on a person's own table: columns and keys were checked", figures)
    return Gate("inputs", True, "its inputs were published and passed their expectations", figures)


def leak_gate(spec: PredictiveSpec, metrics: dict[str, Interval], tags: dict[str, str]) -> Gate:
    """Too good to be true: an all but perfect score, or one feature that explains all but everything."""
    name = {"binary": "roc_auc", "multiclass": "accuracy"}.get(spec.task, "r2")
    score = metrics[name].value
    share, count = float(tags.get("top_share", "0")), int(tags.get("n_features", "1"))
    feature = tags.get("top_feature", "")
    figures = {name: score, "top_feature": feature, "top_share": share}
    if score >= spec.gates.leak_score:
        sentence = (
            f"{name} {score:.4f} is too good to be true: a feature may know the target ('{feature}' is strongest)"
        )
        return Gate("leak", False, sentence, figures)
    if share >= spec.gates.leak_share and score >= _STRONG and count >= 5:
        sentence = (
            f"'{feature}' alone carries {100 * share:.0f} % of all contributions: it may be the target in disguise"
        )
        return Gate("leak", False, sentence, figures)
    return Gate("leak", True, "no sign of a leak", figures)
