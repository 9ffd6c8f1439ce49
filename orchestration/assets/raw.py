"""Raw feeds: one step takes in everything that was delivered, exactly once."""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg

from orchestration import progress
from orchestration.assets.keys import table_key
from orchestration.deliveries import DELIVERED, delivered
from orchestration.domains import OWNERS
from orchestration.interruption import heard
from orchestration.jobs import NEW_DATA, NIGHTLY
from orchestration.logs import bound
from orchestration.plant import Plant, plant, require_rules
from orchestration.pools import pool_of

if TYPE_CHECKING:
    from pipelines.ingest.report import IngestReport

_LOG = logging.getLogger("cellworks.ingest")


def raw_assets(here: Plant) -> dg.AssetsDefinition:
    """Return the one step that fills `raw.*`; every feed of the site is an asset of it."""
    specs = [
        dg.AssetSpec(
            table_key("raw", feed.name),
            group_name=f"raw_{feed.domain}",
            description=f"As delivered ({feed.delivery.format}): one row per {', '.join(feed.keys)}; "
            "corrections and duplicates are kept beside the first record.",
            owners=[OWNERS[feed.domain]],
            kinds={"ducklake", feed.delivery.format.removesuffix(".gz")},
            tags={"layer": "raw", "domain": feed.domain},
        )
        for feed in here.site.feeds.values()
    ]

    @dg.multi_asset(name="ingest", specs=specs, pool=pool_of(here.site, "ingest"))
    def ingest(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        """Take in what the drop folders and databases hold beyond the last offset; bad rows go to quarantine."""
        from pipelines.ingest.run import ingest as run

        served = plant()
        require_rules(served)
        # Before the first file is read: what arrives meanwhile makes another mark, and the sensor starts a run for it.
        found = delivered(served)
        whole = {DELIVERED: found} if context.run.job_name in (NIGHTLY, NEW_DATA) else {}
        progress.begin("taking in what the line delivered")
        with heard(), bound(run=context.run_id):
            _LOG.info("ingestion begins")
            report = run(served.home, served.site, progress=progress.advance)
            _tell(report)
        context.log.info("%s rows in, %s quarantined", report.rows_in, report.rows_quarantined)
        for note in report.notes:
            context.log.warning(note)
        for feed in served.site.feeds.values():
            part = report.feed(feed.name)
            yield dg.MaterializeResult(
                asset_key=table_key("raw", feed.name),
                metadata={
                    "rows_in": part.rows_in,
                    "rows_quarantined": part.rows_quarantined,
                    "files_quarantined": part.files_quarantined,
                    "files": part.deliveries,
                    **whole,
                },
            )

    return ingest


def _tell(report: "IngestReport") -> None:
    """One line for each feed that brought something, one for each oddity, and one for the batch."""
    for name, feed in report.feeds.items():
        tell = _LOG.warning if feed.rows_quarantined or feed.files_quarantined else _LOG.info
        tell("feed taken in", extra={"feed": name, **asdict(feed)})
    for note in report.notes:
        _LOG.warning(note)
    rows = {"rows_in": report.rows_in, "rows_quarantined": report.rows_quarantined}
    _LOG.info("ingestion done", extra={"batch": report.batch_id, "snapshot": report.snapshot, **rows})
