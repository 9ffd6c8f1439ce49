"""What a look found, and what every look gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from pipelines.control_plan.errors import CellworksError
from pipelines.control_plan.site import Site
from pipelines.lake.home import Home
from pipelines.lake.stores import Stores

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: `error` stops a night or loses something, `warning` will do so or slows it down, `ok`.
        what: what was found, in one sentence.
        mend: how to mend it; empty when all is well.
        check: name of the look that found it.
        seconds: how long that look took.
    """

    level: Level
    what: str
    mend: str = ""
    check: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Installation:
    """What is looked at; a part that is itself wrong is None, which its own look tells.

    Attributes:
        home: folder of the instance, which may not be there.
        site: the site.
        stores: where its state is kept.
    """

    home: Home
    site: Site | None
    stores: Stores | None


Look = Callable[[Installation], Iterator[Finding]]
GIGABYTE: Final = 1_000_000_000


def ok(what: str) -> Finding:
    """All is well."""
    return Finding("ok", what)


def warning(what: str, mend: str) -> Finding:
    """It will go wrong, or goes slowly."""
    return Finding("warning", what, mend)


def error(what: str, mend: str) -> Finding:
    """It is wrong."""
    return Finding("error", what, mend)


def of(problem: CellworksError) -> Finding:
    """A mistake that another part of the platform told, as a finding."""
    told = "; ".join(
        f"{label}: {' '.join(text.split())}"
        for label, text in (("where", problem.where), ("expected", problem.expected), ("found", problem.found))
        if text
    )
    # Some list their problems in their text instead.
    what = f"{problem.what} ({told})" if told and problem.mend else " ".join(str(problem).split())
    return Finding("error", what, problem.mend or "correct what is named, file by file")
