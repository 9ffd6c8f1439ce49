"""Figures of the lake: inflow, publications, solutions, models, actions and costs, each of one grouped query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from expectations.settings import load_settings
from models.families import family_of
from models.solution import SolutionSpec
from orchestration.domains import OWN_TABLES, OWNERS
from orchestration.metrics.domains import table_domains
from orchestration.metrics.names import Sample
from orchestration.night_store import COST_COLUMNS
from orchestration.plant import Plant
from pipelines.lake.connection import current_snapshot
from pipelines.lake.sql import quote_identifier
from pipelines.lake.tables import columns_of, has_table


def lake_samples(con: DuckDBPyConnection, here: Plant, specs: Sequence[SolutionSpec]) -> Iterator[Sample]:
    """Everything that the lake tells.

    Args:
        con: a reading connection.
        here: the plant.
        specs: its solutions; what belongs to none of them any more is left out, so that the series stay bounded.
    """
    yield Sample("cellworks_lake_snapshot", current_snapshot(con))
    row = con.execute("SELECT sum(file_size_bytes), sum(file_count) FROM ducklake_table_info('lake')").fetchone()
    size, count = row or (0, 0)
    yield Sample("cellworks_lake_data_bytes", size or 0)
    yield Sample("cellworks_lake_data_files", count or 0)
    yield from _inflow(con, here)
    yield from _published(con)
    known = {name: spec.solution for spec in specs for name in (spec.solution, spec.slug, spec.name)}
    yield from _nights(con, specs, table_domains(here.site))
    yield from _live(con, known)
    yield from _actions(con, known, specs)
    yield from _alarms(con, known)


def _rows(con: DuckDBPyConnection, table: str, query: str) -> list[dict[str, Any]]:
    """Rows of a query over a table of `ops`; none before the table is there."""
    if not has_table(con, "ops", table):
        return []
    found = con.execute(query)
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _each(row: Mapping[str, Any], names: Mapping[str, str], labels: tuple[str, ...]) -> Iterator[Sample]:
    """A sample of each metric whose column holds something."""
    for metric, column in names.items():
        value = row.get(column)
        if value is not None:
            yield Sample(metric, _moment(value) if isinstance(value, datetime) else float(value), labels)


def _moment(at: datetime) -> float:
    """Seconds since 1970 of a time as the lake keeps it: UTC, naive."""
    return (at - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001


_INFLOW = {
    "cellworks_feed_newest_record_timestamp_seconds": "newest",
    "cellworks_feed_last_ingested_timestamp_seconds": "ingested",
    "cellworks_ingested_rows_total": "taken",
    "cellworks_quarantined_rows_total": "refused",
    "cellworks_quarantined_files_total": "files",
    "cellworks_quarantine_ratio": "ratio",
}


def _inflow(con: DuckDBPyConnection, here: Plant) -> Iterator[Sample]:
    rows = _rows(
        con,
        "ingest_offset",
        """
        SELECT feed, max(max_known_at) AS newest, max(ingested_at) AS ingested, sum(rows_in) AS taken,
            sum(rows_quarantined) AS refused, count(*) FILTER (status = 'quarantined') AS files,
            coalesce(sum(rows_quarantined) FILTER (batch_id = last) / nullif(sum(rows_in + rows_quarantined)
                FILTER (batch_id = last), 0), 0) AS ratio
        FROM (SELECT *, max(batch_id) OVER (PARTITION BY feed) AS last FROM lake.ops.ingest_offset) GROUP BY feed
        """,
    )
    of_records = "SELECT feed, count(*) AS records FROM lake.ops.quarantine WHERE status = 'open' GROUP BY feed"
    held = {row["feed"]: row["records"] for row in _rows(con, "quarantine", of_records)}
    clock = max((row["newest"] for row in rows if row["newest"] is not None), default=None)
    if clock is not None:
        yield Sample("cellworks_plant_clock_timestamp_seconds", _moment(clock))
    settings = load_settings(here.site)
    for row in rows:
        feed = here.site.feeds.get(row["feed"])
        if feed is None:  # of an earlier control plan
            continue
        labels = (feed.name, feed.domain)
        yield from _each(row, _INFLOW, labels)
        yield Sample("cellworks_quarantine_open_records", held.get(feed.name, 0), labels)
        if clock is not None and row["newest"] is not None:
            yield Sample("cellworks_feed_lag_seconds", (clock - row["newest"]).total_seconds(), labels)
        stale_h = settings.of_feed(feed.name).stale_after_h
        if stale_h is not None:
            yield Sample("cellworks_feed_stale_after_seconds", stale_h * 3600, labels)


def _published(con: DuckDBPyConnection) -> Iterator[Sample]:
    query = "SELECT domain, max(published_at) AS at FROM lake.ops.published GROUP BY domain"
    for row in _rows(con, "published", query):
        yield from _each(row, {"cellworks_domain_published_timestamp_seconds": "at"}, (row["domain"],))


_NIGHT = {
    "cellworks_solution_night_timestamp_seconds": "run_at",
    "cellworks_solution_checks_failing": "checks_failed",
    "cellworks_solution_scored_rows": "rows_scored",
    "cellworks_solution_night_cpu_seconds": "cpu_s",
    "cellworks_solution_night_seconds": "wall_s",
    "cellworks_solution_night_peak_memory_bytes": "peak_memory_bytes",
}
_TOTALS = {
    "cellworks_solution_cpu_seconds_total": "cpu_s",
    "cellworks_solution_read_bytes_total": "read_bytes",
    "cellworks_solution_written_bytes_total": "written_bytes",
    "cellworks_solution_object_store_read_bytes_total": "s3_read_bytes",
    "cellworks_solution_object_store_written_bytes_total": "s3_written_bytes",
}


def _nights(con: DuckDBPyConnection, specs: Sequence[SolutionSpec], domains: Mapping[str, str]) -> Iterator[Sample]:
    newest = _rows(
        con,
        "solution_night",
        "SELECT * FROM lake.ops.solution_night "
        "QUALIFY row_number() OVER (PARTITION BY solution ORDER BY run_at DESC) = 1",
    )
    rows = {row["solution"]: row for row in newest}
    # A lake of an earlier release has no costs until its next night.
    there = [name for name in COST_COLUMNS if name in (columns_of(con, "ops", "solution_night") or ())]
    sums = ", ".join(f"sum({quote_identifier(name)}) AS {quote_identifier(name)}" for name in there)
    totals = f"SELECT solution, {sums} FROM lake.ops.solution_night GROUP BY solution"
    spent = {row["solution"]: row for row in (_rows(con, "solution_night", totals) if there else [])}
    for spec in specs:
        labels = (spec.solution,)
        row = rows.get(spec.solution, {})
        owner = spec.owner or OWNERS[spec.domain or domains.get(spec.table, OWN_TABLES)]
        about = (spec.stage, family_of(spec).component, owner, row.get("champion_version") or "none")
        yield Sample("cellworks_solution_info", 1, (*labels, *about))
        yield from _each(row, _NIGHT, labels)
        yield from _each(spent.get(spec.solution, {}), _TOTALS, labels)
        if row:
            yield Sample("cellworks_solution_working", float(row["state"] == "working"), labels)
            skill = {"cellworks_model_skill": "metric_value", "cellworks_model_baseline_skill": "baseline_value"}
            yield from _each(row, skill, (*labels, row["metric_name"] or spec.primary_metric))


def _live(con: DuckDBPyConnection, known: Mapping[str, str]) -> Iterator[Sample]:
    """Live skill of the newest day with labels, and drift of the newest answers."""
    skill = {
        "cellworks_live_skill": "value",
        "cellworks_live_skill_low": "low",
        "cellworks_live_skill_high": "high",
    }
    newest = (
        "SELECT solution, metric, value, low, high FROM lake.ops.live_skill QUALIFY row_number() OVER "
        "(PARTITION BY solution, metric ORDER BY model_version DESC, production_day DESC, measured_at DESC) = 1"
    )
    for row in _rows(con, "live_skill", newest):
        if row["solution"] in known:
            yield from _each(row, skill, (known[row["solution"]], row["metric"]))
    drift = """
        SELECT solution, count(*) FILTER (kind = 'input' AND is_drifted) AS inputs,
            count(*) FILTER (kind = 'score' AND is_drifted) AS score
        FROM (SELECT *, max(measured_at) OVER (PARTITION BY solution) AS last FROM lake.ops.drift)
        WHERE measured_at = last GROUP BY solution
        """
    for row in _rows(con, "drift", drift):
        if row["solution"] in known:
            names = {"cellworks_drifted_inputs": "inputs", "cellworks_score_drifted": "score"}
            yield from _each(row, names, (known[row["solution"]],))


def _actions(con: DuckDBPyConnection, known: Mapping[str, str], specs: Sequence[SolutionSpec]) -> Iterator[Sample]:
    """Actions by solution and kind, from 0 on: where a series begins with its first, Prometheus sees no increase."""
    counts = """
        SELECT a.solution, a.kind, count(*) AS proposed,
            count(*) FILTER (e.state = 'awaiting_approval') AS waiting
        FROM lake.ops.action AS a
        JOIN (SELECT action_id, arg_max(event, seq) AS state FROM lake.ops.action_audit GROUP BY action_id) AS e
            USING (action_id)
        GROUP BY ALL
        """
    found = {(spec.solution, spec.action.kind): (0, 0) for spec in specs if spec.action.kind != "report"}
    for row in _rows(con, "action", counts):
        if row["solution"] in known:
            found[known[row["solution"]], row["kind"]] = row["proposed"], row["waiting"]
    for labels, (proposed, waiting) in found.items():
        yield Sample("cellworks_actions_proposed_total", proposed, labels)
        yield Sample("cellworks_actions_awaiting_approval", waiting, labels)
    decided = """
        SELECT a.solution, e.event, count(*) AS decisions
        FROM lake.ops.action_audit AS e JOIN lake.ops.action AS a USING (action_id) WHERE e.seq > 0 GROUP BY ALL
        """
    for row in _rows(con, "action_audit", decided):
        if row["solution"] in known:
            labels = (known[row["solution"]], row["event"])
            yield from _each(row, {"cellworks_actions_decided_total": "decisions"}, labels)


_PLATFORM = "platform"


def _alarms(con: DuckDBPyConnection, known: Mapping[str, str]) -> Iterator[Sample]:
    """Alarms by solution, from 0 on as actions are; those of the platform's jobs are together."""
    query = "SELECT solution, count(*) AS alarms FROM lake.ops.model_alarm GROUP BY solution"
    total = dict.fromkeys([*known.values(), _PLATFORM], 0)
    for row in _rows(con, "model_alarm", query):
        total[known.get(row["solution"], _PLATFORM)] += int(row["alarms"])
    yield from (Sample("cellworks_solution_alarms_total", count, (name,)) for name, count in total.items())
