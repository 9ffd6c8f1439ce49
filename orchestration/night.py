"""The night of one solution, step by step; what it brought is one row of `ops.solution_night`."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from models.context import ModelContext
from models.families import Part
from models.scoring.earlier import set_aside
from models.solution import SolutionSpec
from orchestration import progress
from orchestration.cost import Meter
from orchestration.interruption import interruption_in
from orchestration.logs import bound
from orchestration.night_parts import Night, learn, score, watch
from orchestration.night_store import last_night, store_night
from orchestration.plant import Plant
from orchestration.solving import MODEL, MONITORING, PREDICTIONS, Outcome
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.clock import plant_now, wall_now
from pipelines.lake.redaction import Redaction

_LOG = logging.getLogger("cellworks.night")


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
    work = {MODEL: learn, PREDICTIONS: score, MONITORING: watch}
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
    store_night(here.home, night.row, outcome, night.moment)


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
