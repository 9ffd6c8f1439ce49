"""A person's own files before their solution's night: taken into the lake, looked at, published."""

from __future__ import annotations

from collections.abc import Iterable

from models.features.fitness import refuse_unfit
from models.solution import SolutionSpec
from orchestration.domains import OWN_TABLES
from pipelines.ingest.own_table import OwnTable, held_rows, take_in
from pipelines.lake.connection import reader, writer
from pipelines.lake.files import resolve_file
from pipelines.lake.home import Home
from pipelines.lake.lock import PUBLISHED
from pipelines.lake.publish import publish, published_snapshot


def own_domain(spec: SolutionSpec) -> str:
    """What an own table's published snapshots are filed under; each solution has its own."""
    return f"{OWN_TABLES}/{spec.solution}"


def take_in_files(spec: SolutionSpec, home: Home, run_id: str) -> SolutionSpec:
    """Take the solution's files into the lake and publish them if they can feed it.

    Args:
        spec: A solution; tables that are lake relations stay as they are.
        home: The instance, its lake bootstrapped.
        run_id: The run that publishes.

    Returns:
        The same solution over the lake's copies, its domain the one they are published under.

    Raises:
        CellworksError: A file is gone or unreadable, or its content can't feed the solution; nothing is published.
    """
    copies = {
        name: take_in(home, _copy_name(spec, place), resolve_file(name, None)) for place, name in enumerate(spec.files)
    }
    relations = {name: copy.relation for name, copy in copies.items()}
    bound = spec.over(relations, own_domain(spec))
    with reader(home) as con:
        refuse_unfit(con, bound)
    if not _is_published(home, spec, copies.values()):
        with writer(home, why=f"publish the table of {spec.solution}", area=PUBLISHED) as con:
            publish(con, own_domain(spec), run_id)
    return bound


def _is_published(home: Home, spec: SolutionSpec, copies: Iterable[OwnTable]) -> bool:
    """Whether the published snapshot holds these contents; a run killed between copy and publication left it behind."""
    snapshot = published_snapshot(home, own_domain(spec))
    if snapshot is None:
        return False
    with reader(home, snapshot=snapshot) as con:
        return all(held_rows(con, copy.relation, copy.digest) is not None for copy in copies)


def _copy_name(spec: SolutionSpec, place: int) -> str:
    return f"{spec.stage}__{spec.slug}" + (f"__{place + 1}" if place else "")
