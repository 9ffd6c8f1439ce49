"""Snapshots: whether one was published, and holding it as long as a version names it."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager

from models.context import ModelContext
from models.registry.client import open_home, pages
from models.registry.versions import Version
from models.solution import SolutionSpec
from pipelines.lake.connection import reader, writer
from pipelines.lake.files import file_suffix
from pipelines.lake.home import Home
from pipelines.lake.lock import ACTS
from pipelines.lake.tables import has_table


def is_published(ctx: ModelContext, domain: str | None) -> bool:
    """Whether the context's snapshot was published (for the domain, if one is named)."""
    if ctx.snapshot is None or not ctx.home.has_lake:
        return False
    with reader(ctx.home) as con:
        if not has_table(con, "ops", "published"):
            return False
        row = con.execute(
            "SELECT count(*) FROM lake.ops.published WHERE snapshot_id = ? "
            "AND (CAST(? AS VARCHAR) IS NULL OR domain = ?)",
            [ctx.snapshot, domain, domain],
        ).fetchone()
    return bool(row and row[0])


@contextmanager
def hold_snapshot(ctx: ModelContext, spec: SolutionSpec, holder: str) -> Iterator[None]:
    """Pin the snapshot while a run reads it and for the version that comes of it; let go if none does."""
    if ctx.snapshot is None or file_suffix(spec.table) is not None:
        yield
        return
    from pipelines.lake.maintenance import pin

    with writer(ctx.home, why=f"pin snapshot {ctx.snapshot} for {spec.solution}", area=ACTS) as con:
        pin(con, ctx.snapshot, f"training set of {spec.name}", holder)
    try:
        yield
    except BaseException:
        let_go(ctx, holder)
        raise


def hold_holdout(ctx: ModelContext, spec: SolutionSpec, version: Version) -> None:
    """Pin the snapshot that a version was judged at under its run; the one it was trained at is held already."""
    if ctx.snapshot is None or file_suffix(spec.table) is not None:
        return
    if version.tags.get("lake_snapshot") == str(ctx.snapshot):
        return
    from pipelines.lake.maintenance import pin

    with writer(ctx.home, why=f"pin snapshot {ctx.snapshot} for {spec.solution}", area=ACTS) as con:
        pin(con, ctx.snapshot, f"hold-out of {spec.name} {version.number}", version.run_id)


def snapshots_of_versions(home: Home, without: Container[tuple[str, str]] = ()) -> frozenset[int]:
    """Lake snapshots that registered versions name as their training sets, pinned or not.

    Args:
        home: the instance.
        without: versions, as model and number, that count no more.
    """
    staying = [
        each for each in pages(open_home(home).search_model_versions) if (each.name, str(each.version)) not in without
    ]
    named = (version.tags.get("lake_snapshot", "") for version in staying)
    return frozenset(int(number) for number in named if number)


def let_go(ctx: ModelContext, holder: str) -> None:
    """Take a holder's pins away, if the lake has any."""
    from pipelines.lake.maintenance import unpin

    if not ctx.home.has_lake:
        return
    with writer(ctx.home, why=f"let go of what {holder} held", area=ACTS) as con:
        unpin(con, holder)
