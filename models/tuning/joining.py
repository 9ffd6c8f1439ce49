"""A worker that joins a search under way on another process or machine, with rows that it reads by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from models.context import ModelContext
from models.families import family_of
from models.registry.provenance import code_revision
from models.solution import SolutionSpec
from models.tuning.search import help_search
from models.tuning.shared import Board, board_of
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.home import Home
from pipelines.lake.progress import Progress, silent

if TYPE_CHECKING:
    from pipelines.control_plan.site import Site


@dataclass(frozen=True)
class Joined:
    """What a worker did.

    Attributes:
        study: Name of the study.
        trials: Trials done here, pruned ones included.
        asked: Trials that the study has in all.
        best: Least loss that any worker found; None where no trial has ended.
    """

    study: str
    trials: int
    asked: int
    best: float | None


def join(spec: SolutionSpec, home: Home, site: Site, tell: Progress = silent, board: Board | None = None) -> Joined:
    """Do trials of a solution's search under way until none is left.

    The study says what is asked: the solution as its leader has it, the snapshot and the moment.

    Args:
        spec: the solution.
        home: the instance, on the leader's servers.
        site: the site, whose control plan may bind signs.
        tell: called with trials done by all, and trials in all.
        board: where studies are; None: where the instance has them.

    Raises:
        CellworksError: nothing is under way, or this worker would not ask the same.
    """
    if not family_of(spec).searches:
        raise CellworksError(
            f"{spec.solution} is of a family without a search",
            expected="a solution of PredictiveModel or SurvivalModel",
            found=family_of(spec).component,
        )
    board = board or board_of(home)
    if board is None:
        raise CellworksError(
            "a search on the embedded stores is one process's own",
            expected="CELLWORKS_ENV=servers, with the servers that the search runs on",
            found="CELLWORKS_ENV=embedded",
            mend="see docs/how-to/share-the-work.md",
        )
    with board.connected() as storage:
        return _join(spec, home, site, tell, board, storage)


def _join(spec: SolutionSpec, home: Home, site: Site, tell: Progress, board: Board, storage: Any) -> Joined:
    name, marks = _newest(board, storage, spec)
    if marks["code"] != code_revision():
        raise _other(spec, f"code {marks['code']}", f"code {code_revision()}", "install the leader's release")
    own = type(spec).model_validate_json(marks["spec"])
    as_of = None if marks["as_of"] is None else datetime.fromisoformat(marks["as_of"])
    ctx = ModelContext(home, site, snapshot=marks["snapshot"], as_of=as_of, mode="search", actor="tune-worker")
    asked = family_of(own).asked(own, ctx)
    if asked.digest() != marks["digest"]:
        mend = "see that both read the same lake with the same site and libraries"
        raise _other(spec, f"rows and problem {marks['digest']}", asked.digest(), mend)
    trials = int(marks["trials"])
    done, best = help_search(asked, name, trials, board, storage, tell)
    return Joined(name, done, trials, best)


def _newest(board: Board, storage: Any, spec: SolutionSpec) -> tuple[str, dict[str, Any]]:
    found = board.under_way(storage, spec.solution)
    if not found:
        raise CellworksError(
            f"no search of {spec.solution} is under way",
            expected="an open study of it",
            found="none",
            mend=f"start one: cellworks nightly --only {spec.solution} --search",
        )
    return found[0]


def _other(spec: SolutionSpec, expected: str, found: str, mend: str) -> CellworksError:
    return CellworksError(
        f"this worker would not ask what the search of {spec.solution} asks",
        expected=expected,
        found=found,
        mend=mend,
    )
