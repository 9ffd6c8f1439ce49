"""What a solution's night does: learn, score and watch, and what each part brought to its row and its checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.context import ModelContext
from models.families import Family, family_of
from models.gates.verdict import Verdict
from models.solution import NotYetError, SolutionSpec
from orchestration.acting import act
from orchestration.night_store import CHAMPION_COLUMNS
from orchestration.solving import (
    MODEL,
    MONITORING,
    NO_VERSION,
    PREDICTIONS,
    REFUSED,
    CheckOutcome,
    Outcome,
)
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import wall_now


@dataclass
class Night:
    """One solution's night under way."""

    spec: SolutionSpec
    ctx: ModelContext
    outcome: Outcome
    row: dict[str, Any]

    @property
    def family(self) -> Family:
        """What learns, judges, scores and watches."""
        return family_of(self.spec)

    @property
    def moment(self) -> datetime:
        """The plant's now, or the clock's for what does not read the plant."""
        return self.ctx.as_of or wall_now()


def learn(night: Night) -> None:
    """Train a version, let the gates judge it, and move the aliases as they say."""
    from models.registry.aliases import promote, recover

    spec, ctx = night.spec, night.ctx
    recover(ctx.home, uri=ctx.tracking_uri)
    graduation = _end_shadow(night)
    try:
        result = night.family.train(spec, ctx)
    except NotYetError as error:
        _wait(night, str(error))
        return
    verdict = night.family.judge(spec, ctx, result)
    promotion = promote(spec, ctx, verdict)
    night.row["last_trained"] = night.moment
    if verdict.champion is None:
        _rests(night)
    primary = result.metrics[result.primary]
    figures = {
        "metric_name": result.primary,
        "metric_value": primary.value,
        "metric_low": primary.low,
        "metric_high": primary.high,
        "baseline_name": result.best_baseline,
        "baseline_value": result.baselines.get(result.best_baseline),
    }
    if promotion.moved and promotion.alias == "champion":
        _reigns(night, promotion.version)
    elif night.row.get("champion_version") is None:
        night.row |= figures
        night.outcome.skipped = promotion.sentence
    night.outcome.results[MODEL] = {
        "version": result.version,
        "library": result.library,
        "trials": result.trials,
        "rows_development": result.rows_development,
        "rows_holdout": result.rows_holdout,
        **figures,
        "alias": promotion.alias,
        "promotion": promotion.sentence,
        "graduation": graduation,
        "notes": "; ".join(result.notes),
        "mlflow_run": result.run_id,
        "seconds": result.seconds.get("total", 0.0),
    }
    _tell_gates(night, verdict)


def _end_shadow(night: Night) -> str:
    """Judge the version whose nights in the shadow are over, and tell what became of it; empty when there is none.

    One that can't be judged any more, as when a column that it needs is gone, leaves the shadow: tonight's training
    and scoring must not wait for it.
    """
    from models.registry.aliases import graduate, leave_shadow, shadow_due

    spec, ctx = night.spec, night.ctx
    due = shadow_due(spec, ctx)
    if due is None:
        return ""
    try:
        verdict = night.family.judge(spec, ctx, due)
    except NotYetError as error:
        return f"stays in the shadow: {error.what}"
    except CellworksError as error:
        return leave_shadow(spec, ctx, due, f"version {due} can't be judged: {error.what}").sentence
    graduated = graduate(spec, ctx, verdict)
    if graduated.alias == "champion" and graduated.moved:
        _reigns(night, graduated.version)
    return graduated.sentence


def _wait(night: Night, why: str) -> None:
    """A solution whose data are still to come is no failure: the night is green and says what it waits for."""
    night.outcome.results[MODEL] = {"version": NO_VERSION}
    night.outcome.skipped = why
    night.outcome.checks += [
        CheckOutcome(MODEL, name, False, "not judged: what it learns from is still to come")
        for name in night.family.checks[MODEL]
    ]


def _reigns(night: Night, version: str) -> None:
    """The champion in the solution's row, or the rule; a new champion comes with the figures of its own run."""
    if night.row.get("champion_version") == version:
        return
    figures: dict[str, Any] = {}
    if night.family.learns:
        from models.registry.figures import version_figures

        figures = version_figures(night.spec, night.ctx, version)
    night.row |= {**dict.fromkeys(CHAMPION_COLUMNS), "champion_version": version, **figures}


def _rests(night: Night) -> None:
    """No champion acts any more: the row names none, nor its figures."""
    if night.row.get("champion_version") is not None:
        night.row |= dict.fromkeys(CHAMPION_COLUMNS)


def _tell_gates(night: Night, verdict: Verdict) -> None:
    """Each gate as a check; one that was not reached is no pass, but for the champion that a first version lacks."""
    outcome, gates = night.outcome, {gate.name: gate for gate in verdict.gates}
    for name in night.family.checks[MODEL]:
        gate = gates.get(name)
        if gate is not None:
            outcome.checks.append(CheckOutcome(MODEL, name, gate.passed, gate.sentence, gate.figures))
        elif verdict.status == "insufficient":
            outcome.checks.append(CheckOutcome(MODEL, name, False, "not judged: the hold-out is too small to tell"))
        else:
            outcome.checks.append(CheckOutcome(MODEL, name, True, "does not apply to this version"))


def score(night: Night) -> None:
    """Predict what is new by the champion or the rule, and propose the actions."""
    from models.scoring.score import scoring_moment

    if night.family.learns:
        from models.registry.aliases import recover

        # Scoring runs without training too (a moved alias, new data): it must not follow a move that is half done.
        recover(night.ctx.home, uri=night.ctx.tracking_uri)
    report = night.family.score(night.spec, night.ctx)
    acted = 0
    held_back = ""
    if report.version is not None:
        # Also when no row is new: predictions and actions are two transactions, and a kill may have come between them.
        actions = act(night.spec, night.ctx, report.predicted_at or scoring_moment(night.ctx), report.version)
        acted = actions.proposed + (1 if actions.grouped else 0)
        held_back = "; ".join(f"{count:,} held back: {why}" for why, count in actions.refused.items())
    night.outcome.results[PREDICTIONS] = {
        "rows": report.rows,
        "flagged": report.flagged,
        "version": report.version or NO_VERSION,
        "actions": acted,
        "held_back": held_back,
        "skipped": report.skipped,
        REFUSED: report.alarm or "",
    }
    told = {"champion_is_cleared": (report.alarm is None, report.alarm or ""), **report.checks}
    not_told = (False, f"not judged: {report.skipped}")
    night.outcome.checks += [
        CheckOutcome(PREDICTIONS, name, *told.get(name, not_told)) for name in night.family.checks[PREDICTIONS]
    ]
    if report.version is None:
        _rests(night)
    else:
        _reigns(night, report.version)
    if report.rows:
        night.row["last_scored"] = report.predicted_at
    night.row["rows_scored"] = int(night.row.get("rows_scored") or 0) + report.rows
    night.row["actions"] = int(night.row.get("actions") or 0) + acted
    if report.version is None:
        night.outcome.skipped = night.outcome.skipped or report.skipped


def watch(night: Night) -> None:
    """Compare inputs, scores and live skill with the training's."""
    report = night.family.monitor(night.spec, night.ctx)
    drifted = [each.name for each in report.drifted_inputs]
    night.outcome.results[MONITORING] = {
        "version": report.version or NO_VERSION,
        "live_days": len(report.days),
        "inputs_watched": sum(each.kind == "input" for each in report.drift),
        "inputs_drifted": ", ".join(drifted[:10]),
        "summary": report.sentence or report.skipped,
    }
    told = {
        "live_skill": (report.skill_lost is not True, report.sentence or report.skipped),
        "input_drift": (not drifted, f"drifted: {', '.join(drifted[:10])}" if drifted else report.skipped),
        "score_drift": (not report.score_drifted, report.skipped),
    }
    figures = {"version": report.version or NO_VERSION}
    night.outcome.checks += [
        CheckOutcome(MONITORING, name, passed, text, figures)
        for name, (passed, text) in told.items()
        if name in night.family.checks[MONITORING]
    ]
