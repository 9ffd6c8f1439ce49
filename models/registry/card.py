"""The model card: what the model is for, how good it is, what it saw, where it is weak."""

from __future__ import annotations

from collections.abc import Mapping

from models.evaluation.evaluate import Evaluation
from models.explain.importance import Importance
from models.fitting import Fitted
from models.prepare import Prepared
from models.spec import PredictiveSpec


def _figures(spec: PredictiveSpec, evaluation: Evaluation) -> list[str]:
    lines = ["| metric | value | 95 % interval |", "| --- | --- | --- |"]
    for name, figure in evaluation.metrics.items():
        mark = " (primary)" if name == spec.primary_metric else ""
        lines.append(f"| {name}{mark} | {figure.value:.5g} | {figure.low:.5g} to {figure.high:.5g} |")
    naive = [f"{name}: {spec.primary_metric} {value:.5g}" for name, value in evaluation.baseline_metrics.items()]
    return [*lines, "", "Naive baselines on the same rows: " + "; ".join(naive) + f". Skill: {evaluation.skill:.3f}."]


def _inputs(fitted: Fitted, importance: Importance) -> list[str]:
    lines = ["| feature | share of mean abs. SHAP |", "| --- | --- |"]
    pairs = zip(importance.names[:15], importance.shares[:15], strict=True)
    lines += [f"| {name} | {share:.3f} |" for name, share in pairs]
    lines += ["", f"{len(importance.names)} features. Left out:", ""]
    return lines + [f"- `{name}`: {reason}" for name, reason in list(fitted.dropped.items())[:60]]


def _averaged(fitted: Fitted) -> str:
    """How many trials answer together, where it is more than one."""
    members = fitted.found.members
    return f"; its answers are the mean of {len(members)} trials" if len(members) > 1 else ""


def model_card(
    spec: PredictiveSpec,
    prepared: Prepared,
    fitted: Fitted,
    evaluation: Evaluation,
    importance: Importance,
    stamps: Mapping[str, str],
) -> str:
    """Markdown of the card.

    Args:
        spec: the solution.
        prepared: its rows.
        fitted: the model.
        evaluation: hold-out figures.
        importance: global importance.
        stamps: snapshot, plan hash, code revision and lock hash.
    """
    bundle = fitted.scorer.bundle
    record = bundle["record"]
    split = prepared.split
    parts = [
        f"# {spec.solution}",
        "",
        spec.question,
        *(["", spec.description] if spec.description else []),
        "",
        f"- owner: {spec.owner or 'not named'}; entity: {spec.entity}; acts at: {spec.acts_at or 'any time'}",
        f"- target: `{spec.target.column}` {spec.target.unit} ({spec.task}), action: {spec.action.kind}",
        (
            f"- library: {bundle['library']}, {fitted.found.best.rounds} rounds, "
            f"best of {len(fitted.found.trials)} trials ({record['mode']})"
            f"{_averaged(fitted)}"
        ),
        (
            f"- trained on {len(split.development)} rows until {record['trained_until'] or 'the draw'}; "
            f"judged on {len(split.holdout)} later rows"
        ),
        (
            f"- calibration: {bundle['calibration']['kind']}; threshold: {bundle['threshold']:.4g}; "
            f"interval: {bundle['interval']}"
        ),
        *(f"- {key}: {value}" for key, value in stamps.items()),
        "",
        "## Figures on the hold-out",
        "",
        *_figures(spec, evaluation),
        "",
        "## Inputs",
        "",
        *_inputs(fitted, importance),
        "",
        "## Limits",
        "",
        "Not for entities, recipes or ranges that the training rows do not hold.",
        "Contributions say what the model used, not causes.",
        *(f"- {note}" for note in fitted.notes),
        "",
    ]
    return "\n".join(parts)
