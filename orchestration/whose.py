"""Whose run it is, where two sites share one Dagster: names of jobs, assets and checks are the same in both.

Dagster keeps one history of an asset key and of a job's name for all code locations. Whoever reads it for a site asks
here, so that a night of the other site is neither told, nor taken for its own, nor pruned by its retention.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestration.environment import site_folder
from pipelines.control_plan.site import load_site

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

SITE_TAG: Final = "cellworks/site"
"""Run tag: name of the site that the run is of, which stays when its folder is moved."""

_UNNAMED: Final = "orchestration.definitions"
"""Location of a workspace that names none, which is one of a single site: `cellworks ui`, `dagster dev`."""
_PAGE: Final = 50


def site_tag() -> dict[str, str]:
    """The tag of this site's runs."""
    return {SITE_TAG: _site_name()}


def _site_name() -> str:
    folder = site_folder()
    return _name_in(folder, (folder / "site.yaml").stat().st_mtime_ns if (folder / "site.yaml").is_file() else 0)


@lru_cache(maxsize=8)
def _name_in(folder: Path, _changed_at: int) -> str:
    """Every solution's job asks, and to read a site takes a moment."""
    return load_site(folder).name


class Ours:
    """Tells the runs of this process's site from those of others in the same Dagster instance."""

    def __init__(self, instance: dg.DagsterInstance, location: str | None = None) -> None:
        """Look into an instance.

        Args:
            instance: Dagster's.
            location: the code location that asks; None for a command.
        """
        self._instance = instance
        self._site = _site_name()
        # A folder's name is its code location.
        self._locations = {self._site, site_folder().name, _UNNAMED} if location is None else {location}
        self._known: dict[str, bool] = {"": True}  # what was reported without a run

    def owns(self, run: dg.DagsterRun) -> bool:
        """Whether a run is of this site. One that says nothing is: earlier releases had one site in an instance."""
        if SITE_TAG in run.tags:
            return run.tags[SITE_TAG] == self._site
        # Assets that are launched from the pages have no job of ours whose tag they could carry.
        origin = run.remote_job_origin
        return origin is None or origin.location_name in self._locations

    def look(self, run_ids: Iterable[str]) -> Ours:
        """Read these runs at once, so that asking for each costs nothing. Returns itself."""
        from dagster import RunsFilter

        unknown = sorted(set(run_ids) - self._known.keys())
        if unknown:
            runs = self._instance.get_runs(RunsFilter(run_ids=unknown))
            self._known |= dict.fromkeys(unknown, True) | {run.run_id: self.owns(run) for run in runs}
        return self

    def __call__(self, run_id: str) -> bool:
        """Whether the run of an event is of this site; one whose record is gone counts."""
        self.look([run_id])
        return self._known[run_id]

    def newest_run(self, wanted: dg.RunsFilter) -> dg.DagsterRun | None:
        """The newest run of this site that a filter lets through."""
        cursor: str | None = None
        while page := self._instance.get_runs(wanted, cursor=cursor, limit=_PAGE):
            if (found := next(filter(self.owns, page), None)) is not None:
                return found
            cursor = page[-1].run_id
        return None

    def newest_materialization(self, key: dg.AssetKey) -> dg.EventLogEntry | None:
        """The newest materialization of an asset by a run of this site."""
        newest = self._instance.get_latest_materialization_event(key)
        if newest is None or self(newest.run_id):
            return newest
        cursor: str | None = None
        while True:
            page = self._instance.fetch_materializations(key, limit=_PAGE, cursor=cursor)
            self.look(record.run_id for record in page.records)
            for record in page.records:
                if self(record.run_id):
                    return record.event_log_entry
            if not page.has_more:
                return None
            cursor = page.cursor

    def newest_checks(self, keys: Sequence[dg.AssetCheckKey]) -> dict[dg.AssetCheckKey, AssetCheckExecutionRecord]:
        """The newest execution of each check by a run of this site; without those that it never made."""
        newest = self._instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        self.look(record.run_id for record in newest.values())
        own = {key: record for key, record in newest.items() if self(record.run_id)}
        return own | self.overtaken_checks([key for key in newest if key not in own])

    def overtaken_checks(
        self, keys: Collection[dg.AssetCheckKey], *, is_over: bool = False
    ) -> dict[dg.AssetCheckKey, AssetCheckExecutionRecord]:
        """As `newest_checks`, for checks that another site made since.

        Dagster's own call reads the history of one check page by page, to its end where this site never made it, and
        sensors ask every few seconds. Its table answers for all checks and nights at once. The version is pinned.

        Args:
            keys: the checks.
            is_over: only executions that ended.
        """
        import sqlalchemy as sa
        from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord
        from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Table
        from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

        storage = self._instance.event_log_storage
        if not keys or not isinstance(storage, SqlEventLogStorage):
            return {}
        of_keys = sa.and_(
            Table.c.asset_key.in_(sorted({key.asset_key.to_string() for key in keys})),
            Table.c.check_name.in_(sorted({key.name for key in keys})),
            *((Table.c.execution_status != "PLANNED",) if is_over else ()),
        )
        with storage.index_connection() as con:
            runs = [str(run_id) for (run_id,) in con.execute(sa.select(Table.c.run_id).where(of_keys).distinct())]
        own = list(filter(self.look(runs), runs))
        newest = (
            sa.select(sa.func.max(Table.c.id))
            .where(of_keys, Table.c.run_id.in_(own))
            .group_by(Table.c.asset_key, Table.c.check_name)
        )
        with storage.index_connection() as con:
            rows = con.execute(sa.select(*Table.c).where(Table.c.id.in_(newest))).mappings().all()
        by_key = {(key.asset_key.to_string(), key.name): key for key in keys}
        found = {by_key.get((row["asset_key"], row["check_name"])): row for row in rows}
        return {key: AssetCheckExecutionRecord.from_db_row(row, key=key) for key, row in found.items() if key}
