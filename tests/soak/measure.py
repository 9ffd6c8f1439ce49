"""What a running installation takes, once a day: memory of its servers, seconds of sensors' ticks, bytes on disk."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
from dagster import DagsterInstance

from orchestration.services import leftovers
from orchestration.services.layout import MARK, mark
from orchestration.services.settings import Place
from pipelines.lake.connection import reader
from pipelines.lake.home import Home
from pipelines.lake.servers import connect

MB = 1e6
# What the plant delivers and the twin remembers grows with its days, as it should; the stores are looked at apart.
_NOT_THE_HOMES = ("drop", "erp", "truth", "twin", "services", "fetched")
_SENSORS = "SENSOR"
_PATIENCE_S = 120.0
"""A run's process may take a moment to end, and a schedule may have begun another."""


def by_server(home: Home) -> dict[str, list[psutil.Process]]:
    """The processes of each server, its runs among them."""
    found: dict[str, list[psutil.Process]] = defaultdict(list)
    prefix = mark(home)
    for each in leftovers.of(prefix):
        try:
            name = each.environ()[MARK].removeprefix(prefix).rstrip(";")
        except (psutil.Error, KeyError):
            continue
        found[name].append(each)
    return dict(found)


class Servers:
    """The processes that live as long as the installation: all but what the code servers start for runs."""

    def __init__(self, home: Home) -> None:
        self._home = home
        found = by_server(home)
        self._long_lived = {name: [each for each in members if not _works(each)] for name, members in found.items()}

    def memory(self) -> dict[str, float]:
        """Resident MB by server, of those that still live."""
        return {
            f"rss_{name}_mb": sum(_resident(each) for each in members) / MB
            for name, members in self._long_lived.items()
        }

    def ended(self) -> list[str]:
        """Servers of which a process has ended."""
        return sorted({name for name, members in self._long_lived.items() if any(not _lives(each) for each in members)})

    def more(self) -> list[str]:
        """Processes that came since and stay while no run is under way, as server and command."""
        known = {each for members in self._long_lived.values() for each in members}
        until = time.monotonic() + _PATIENCE_S
        while True:
            now = by_server(self._home)
            come = [(name, each) for name in now for each in now[name] if each not in known and not _keeps_count(each)]
            found = [f"{name}: {_command(each)}" for name, each in come]
            if not found or time.monotonic() > until:
                return found
            time.sleep(1)


def _works(process: psutil.Process) -> bool:
    """Whether a code server started it for a run."""
    try:
        return any("api grpc" in _command(each) for each in process.parents())
    except psutil.Error:
        return False


def _keeps_count(process: psutil.Process) -> bool:
    """Python's own helper of a process that has ever started another; it ends with that one."""
    return "multiprocessing.resource_tracker" in _command(process)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "ended meanwhile"


def ticks(instance: DagsterInstance, since: float) -> dict[str, float]:
    """Mean seconds of the ticks since a moment, by sensor and of all; NaN-free: a sensor without any is left out."""
    took: dict[str, list[float]] = {}
    for state in instance.all_instigator_state():
        if state.instigator_type.name != _SENSORS:
            continue
        found = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=since)
        seconds = [each.end_timestamp - each.timestamp for each in found if each.end_timestamp]
        if seconds:
            took[state.instigator_name] = seconds
    whole = [each for seconds in took.values() for each in seconds]
    return {f"tick_{name}_s": _mean(seconds) for name, seconds in took.items()} | (
        {"tick_s": _mean(whole)} if whole else {}
    )


def disk(home: Home, temporary: Path) -> dict[str, float]:
    """MB of each store, and of what in it is not the plant's own data; what lies in the temporary folder, too."""
    stores, place = home.stores, Place.of(home)
    bucket = place.s3 / "cellworks"
    lake, artifacts = folder_bytes(bucket / "site" / "lake"), bucket / "site" / "mlflow"
    live, files = _live(home)
    databases = {
        name: _database_bytes(url)
        for name, url in (("lake", stores.lake_url), ("dagster", stores.dagster_url), ("mlflow", stores.mlflow_uri))
        if url is not None
    }
    own = [each for each in home.root.iterdir() if each.name not in _NOT_THE_HOMES]
    assert stores.dagster_url is not None
    assert stores.lake_url is not None
    kept, snapshots = _kept(stores.lake_url)
    tick_rows = _table_bytes(stores.dagster_url, "job_ticks")
    return {
        "lake_mb": lake / MB,
        "lake_live_mb": live / MB,
        "lake_kept_mb": (kept - live) / MB,
        "lake_unneeded_mb": (lake - kept) / MB,
        "snapshots": snapshots,
        "lake_files": files,
        **_registry((artifacts, home.root / "fetched"), stores.mlflow_uri),
        **{f"postgres_{name}_mb": size / MB for name, size in databases.items()},
        "catalogue_kb_per_file": databases["lake"] / 1e3 / max(files, 1),
        "ticks_mb": tick_rows / MB,
        "postgres_runs_mb": (databases["dagster"] - tick_rows) / MB,
        "home_mb": sum(folder_bytes(each) for each in own) / MB,
        **_large_tables(stores.dagster_url),
        "logs_mb": folder_bytes(place.logs) / MB,
        "postgres_folder_mb": folder_bytes(place.postgres) / MB,
        "temporary_mb": folder_bytes(temporary) / MB,
        "temporary_entries": sum(len(folders) + len(files) for _, folders, files in os.walk(temporary)),
    }


def _registry(roots: Sequence[Path], url: str) -> dict[str, float]:
    """Versions, MB of their files and of this machine's copies, and MB of those that belong to no version.

    A version that saw more days is larger, so all of them together may grow.
    """
    with closing(connect(url)) as con, con.cursor() as cursor:
        cursor.execute("SELECT run_id, source FROM model_versions WHERE current_stage <> 'Deleted_Internal'")
        versions = cursor.fetchall()
    owners = {str(part).removeprefix("models:/") for version in versions for part in version}
    lost = [
        Path(folder) / name
        for root in roots
        for folder, _, names in os.walk(root)
        # A copy's folder is a run and a version's number.
        if not owners & {part.rsplit("-", 1)[0] if root.name == "fetched" else part for part in Path(folder).parts}
        for name in names
    ]
    return {
        "versions": len(versions),
        "registry_files_mb": sum(map(folder_bytes, roots)) / MB,
        "registry_beyond_versions_mb": sum(map(_size, lost)) / MB,
    }


def folder_bytes(root: Path) -> int:
    """Bytes of the files below a folder, or of a file; what goes meanwhile counts nothing."""
    if root.is_file():
        return _size(root)
    return sum(_size(Path(folder) / name) for folder, _, names in os.walk(root) for name in names)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _live(home: Home) -> tuple[int, int]:
    """Bytes and number of the files that the newest snapshot of the lake needs."""
    with reader(home) as con:
        row = con.execute(
            "SELECT coalesce(sum(file_size_bytes + coalesce(delete_file_size_bytes, 0)), 0), "
            "coalesce(sum(file_count + coalesce(delete_file_count, 0)), 0) FROM ducklake_table_info('lake')"
        ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _kept(url: str) -> tuple[int, int]:
    """Bytes of the files that any snapshot needs, and the number of snapshots.

    DuckLake names in these tables what a snapshot needs, and in a queue of its own what waits to be deleted.
    """
    files = " UNION ALL ".join(f"SELECT file_size_bytes FROM ducklake_{kind}_file" for kind in ("data", "delete"))
    size = _asked(url, f"SELECT coalesce(sum(file_size_bytes), 0) FROM ({files}) AS files")
    return int(size), int(_asked(url, "SELECT count(*) FROM ducklake_snapshot"))


def _database_bytes(url: str) -> int:
    return int(_asked(url, "SELECT pg_database_size(current_database())"))


def _table_bytes(url: str, table: str) -> int:
    return int(_asked(url, f"SELECT pg_total_relation_size('{table}')"))


def _large_tables(url: str) -> dict[str, float]:
    """MB of each table of Dagster's that takes a tenth of one, indexes and what is dead in it among it."""
    with closing(connect(url)) as con, con.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace AND pg_total_relation_size(oid) >= 100000"
        )
        return {f"postgres_runs_{name}_mb": int(size) / MB for name, size in cursor.fetchall()}


def _asked(url: str, sql: str) -> Any:
    with closing(connect(url)) as con, con.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def names(samples: Iterable[dict[str, float]]) -> list[str]:
    """Figures that any of the samples has."""
    return sorted({name for each in samples for name in each if name not in {"day", "at"}})


def sample(
    home: Home, temporary: Path, instance: DagsterInstance, servers: Servers, day: int, since: float
) -> dict[str, float]:
    """Everything at the end of a day."""
    taken = {"day": float(day), "at": time.time(), "processes": float(sum(map(len, by_server(home).values())))}
    return taken | servers.memory() | ticks(instance, since) | disk(home, temporary)
