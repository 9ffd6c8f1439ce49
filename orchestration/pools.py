"""Dagster's pools: which runs of a site wait for each other in the queue, before a process or a container is theirs.

A run takes a place of each pool that its steps name, from its launch to its end (`granularity: run` in
`infra/dagster`), and a pool has one place unless an operator gives it more. Nothing is claimed that a killed run
could leave behind: the places taken are those of the runs that are open.
"""

from __future__ import annotations

from typing import Final, Literal

from pipelines.control_plan.site import Site

Work = Literal["ingest", "curate", "learn"]
WORKS: Final[tuple[Work, ...]] = ("ingest", "curate", "learn")
"""Taking in; dbt, which has the whole lake alone; training, scoring and watching."""


def pool_of(site: Site, work: Work) -> str:
    """The pool of one kind of work. Sites of one Dagster have lakes of their own, so they share no pool."""
    return f"{site.name}_{work}"
