"""The night of one solution, step by step; what it brought is one row of `ops.solution_night`."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from models.context import ModelContext
from models.families import Family, Part, family_of
from models.gates.verdict import Verdict
from models.scoring.earlier import set_aside
from models.solution import NotYetError, SolutionSpec
from orchestration import progress
from orchestration.acting import act
from orchestration.cost import Meter
from orchestration.interruption import interruption_in
from orchestration.logs import bound
from orchestration.night_store import CHAMPION_COLUMNS, last_night, store_night
from orchestration.plant import Plant
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
from pipelines.lake.clock import plant_now, wall_now
from pipelines.lake.redaction import Redaction

_LOG = logging.getLogger("cellworks.night")


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


def solve(
    spec: SolutionSpec,
    here: Plant,
    *,
    parts: Sequence[Part],
    domain: str | None,
    full_search: bool,
    actor: str,
) -> Outcome:
    """Train, gate, promote, score and watch one solution, as far as its family does; an error is its own and told.

    Args:
        spec: The solution.
        here: Site and home.
        parts: What to do, of the parts that its family has.
        domain: Domain whose published snapshot it reads; None for a file of the user's own.
        full_search: Spend the whole search budget.
        actor: Who runs this, for audits.
    """
    meter, outcome = Meter(), Outcome(spec)
    with bound(solution=spec.solution):
        _LOG.info("night begins", extra={"parts": list(parts), "full_search": full_search})
        _night_of(outcome, here, parts=parts, domain=domain, full_search=full_search, actor=actor, meter=meter)
        _tell_end(outcome)
    return outcome


def _night_of(
    outcome: Outcome,
    here: Plant,
    *,
    parts: Sequence[Part],
    domain: str | None,
    full_search: bool,
    actor: str,
    meter: Meter,
) -> None:
    """The parts one after the other, and the row that tells of them."""
    spec = outcome.spec
    begun = last_night(here.home, spec.solution)
    try:
        spec = _bound(spec, here, domain, actor)
        ctx = _context(spec, here, domain, full_search, actor)
        if (earlier := set_aside(here.home, spec)) is not None:
            _LOG.warning("answers of an earlier release have other keys and are now in %s", earlier)
    except CellworksError as error:
        outcome.failure, outcome.cost = Redaction()(str(error)), meter.cost()
        store_night(here.home, begun, outcome, wall_now())
        return
    night = Night(spec, ctx, outcome, begun)
    work = {MODEL: _learn, PREDICTIONS: _score, MONITORING: _watch}
    for part in parts:
        try:
            work[part](night)
        except CellworksError as error:
            outcome.failure = Redaction()(str(error))
            break
        except Exception as error:  # one solution's fault must not stop the others; it is told
            if interruption_in(error):
                raise
            hidden = Redaction()  # lake, Dagster and log keep it
            outcome.failure = hidden(f"{type(error).__name__}: {error}")
            outcome.trace = hidden(traceback.format_exc())
            break
    outcome.cost = meter.cost()
    store_night(here.home, night.row, outcome, _moment(ctx))


def _tell_end(outcome: Outcome) -> None:
    """How it ended, in one line of the log."""
    figures = {
        "failed_checks": [check.name for check in outcome.checks if not check.passed],
        "skipped": outcome.skipped,
        "cost": None if outcome.cost is None else asdict(outcome.cost),
    }
    if outcome.failure:
        _LOG.error("night failed: %s", outcome.failure, extra={**figures, "trace": outcome.trace})
    else:
        _LOG.info("night done", extra=figures)


def give_up(spec: SolutionSpec, here: Plant, why: str) -> Outcome:
    """The outcome of a night that ended from without, written down as every night is."""
    outcome = Outcome(spec, failure=why)
    with bound(solution=spec.solution):
        _tell_end(outcome)
    store_night(here.home, last_night(here.home, spec.solution), outcome, wall_now())
    return outcome


def _bound(spec: SolutionSpec, here: Plant, domain: str | None, actor: str) -> SolutionSpec:
    """The solution over published tables: the domain's, or the lake's copy of a person's own file."""
    from orchestration.own_tables import take_in_files
    from pipelines.lake.files import file_suffix

    if domain is None and file_suffix(spec.table) is not None:
        return take_in_files(spec, here.home, actor)
    return spec.model_copy(update={"domain": domain})


def _context(spec: SolutionSpec, here: Plant, domain: str | None, full_search: bool, actor: str) -> ModelContext:
    from pipelines.lake.publish import published_snapshot

    snapshot = None if spec.domain is None else published_snapshot(here.home, spec.domain)
    if spec.domain is not None and snapshot is None:
        raise CellworksError(
            f"{spec.solution} has nothing to read",
            expected=f"a published snapshot of the domain '{spec.domain}'",
            found="none: no night took in its rows with every blocking check passed",
            mend="look at the failed checks if there are any, mend the data; then `cellworks nightly`, or --take-in",
        )
    return ModelContext(
        home=here.home,
        site=here.site,
        snapshot=snapshot,
        as_of=_plant_now(here, domain),
        mode="search" if full_search else "refit",
        # A published snapshot is one whose blocking checks passed.
        inputs_passed=True if spec.domain is not None else None,
        actor=actor,
        tell=progress.advance,
    )


def _plant_now(here: Plant, domain: str | None) -> datetime | None:
    """The plant's clock for what reads the plant; a person's own table has none, all its labels are known."""
    from pipelines.lake.connection import reader

    if domain is None:
        return None
    with reader(here.home) as con:
        return plant_now(con)


def _moment(ctx: ModelContext) -> datetime:
    return ctx.as_of or wall_now()


def _learn(night: Night) -> None:
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
    night.row["last_trained"] = _moment(ctx)
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


def _score(night: Night) -> None:
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


def _watch(night: Night) -> None:
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
