"""What Prometheus gets at a scrape: the figures of each source, read again only when they are old or have changed."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import duckdb
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestration.catalogue import discover
from orchestration.metrics.lake import lake_samples
from orchestration.metrics.names import METRICS, Sample
from orchestration.metrics.registry import registry_samples
from orchestration.metrics.runs import run_samples
from orchestration.plant import Plant
from pipelines.control_plan.errors import CellworksError
from pipelines.lake.connection import current_snapshot, reader, retrying

if TYPE_CHECKING:
    from dagster import DagsterInstance

FRESH_S: Final = 15.0
"""How long figures are served before they are read again, s; Prometheus' usual interval."""

_LOG = logging.getLogger("cellworks.metrics")
Family = CounterMetricFamily | GaugeMetricFamily


@dataclass
class _Source:
    """One source: how it is read, what it told last, and when."""

    read: Callable[[], Iterable[Sample]]
    samples: list[Sample] = field(default_factory=list)
    is_up: bool = False
    read_at: float = 0.0
    took_s: float = 0.0
    due: float = 0.0


class PlantCollector(Collector):
    """The figures of one plant.

    No lock of the platform is taken, so a scrape never waits for a writer nor keeps one waiting. A source that does
    not answer is told as down and its last figures are left out, for an old figure looks like a good one.

    Args:
        here: the plant.
        instance: Dagster's.
        fresh_s: how long figures are served before they are read again, s.
    """

    def __init__(self, here: Plant, instance: DagsterInstance, fresh_s: float = FRESH_S) -> None:
        self._here, self._instance, self._fresh_s = here, instance, fresh_s
        self._lock = threading.Lock()
        self._lake_told: tuple[int, list[Sample]] | None = None
        self._sources = {
            "lake": _Source(self._lake),
            "dagster": _Source(self._runs),
            "mlflow": _Source(lambda: registry_samples(here.home, discover())),
        }

    def collect(self) -> Iterator[Family]:
        """Every metric, of figures that are fresh; scrapes that come together share one reading."""
        with self._lock:
            for name, source in self._sources.items():
                self._refresh(name, source)
            samples = [*self._own(), *(sample for source in self._sources.values() for sample in source.samples)]
        yield from _families(samples, self._here.site.name)

    def describe(self) -> Iterable[Family]:
        """The metrics without values, so that to register needs no reading."""
        return _families([], self._here.site.name)

    def _refresh(self, name: str, source: _Source) -> None:
        now = time.monotonic()
        if now < source.due:
            return
        try:
            source.samples, source.is_up = list(source.read()), True
        except (CellworksError, OSError, duckdb.Error, *_errors()) as error:
            source.samples, source.is_up = [], False
            _LOG.warning("no figures of %s: %s", name, error)
        source.took_s, source.read_at = time.monotonic() - now, time.time()
        # A reading that takes long is not made all the time.
        source.due = time.monotonic() + max(self._fresh_s, 4 * source.took_s)

    def _lake(self) -> list[Sample]:
        if not self._here.home.has_lake:
            return []

        def read() -> list[Sample]:
            with reader(self._here.home) as con:
                snapshot = current_snapshot(con)
                if self._lake_told is None or self._lake_told[0] != snapshot:
                    self._lake_told = snapshot, list(lake_samples(con, self._here, discover()))
                return self._lake_told[1]

        return retrying(read, attempts=2)

    def _runs(self) -> Iterator[Sample]:
        return run_samples(self._instance, self._here, [spec.solution for spec in discover()])

    def _own(self) -> Iterator[Sample]:
        """About the instance and the reading itself."""
        yield Sample("cellworks_build_info", 1, (version("cellworks"), self._here.home.stores.name))
        yield Sample("cellworks_disk_free_bytes", shutil.disk_usage(self._here.home.root).free)
        for name, source in self._sources.items():
            yield Sample("cellworks_source_up", float(source.is_up), (name,))
            yield Sample("cellworks_source_read_seconds", source.took_s, (name,))
            yield Sample("cellworks_source_read_timestamp_seconds", source.read_at, (name,))


def _errors() -> tuple[type[Exception], ...]:
    """What the stores of runs and models raise when they do not answer."""
    import sqlite3

    import psycopg2
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError, sqlite3.Error, psycopg2.Error


def _families(samples: Iterable[Sample], site: str) -> Iterator[Family]:
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    for name, metric in METRICS.items():
        labels = ("site", *metric.labels)
        family: Family
        if metric.kind == "counter":
            family = CounterMetricFamily(name.removesuffix("_total"), metric.says, labels=labels)
        else:
            family = GaugeMetricFamily(name, metric.says, labels=labels)
        for sample in by_name.pop(name, []):
            family.add_metric([site, *sample.labels], sample.value)
        yield family
    if by_name:
        raise LookupError(f"no such metrics: {sorted(by_name)}")
