"""Every metric that is served: its kind, what it says and its labels. All carry `site` as well.

Names follow Prometheus' conventions: base units, `_total` on what only grows, `_info` on what only names. What is a
moment is served as one, so that its age grows between two readings of the lake too.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["gauge", "counter"]


class Metric(NamedTuple):
    """Kind, meaning, and labels beside `site`."""

    kind: Kind
    says: str
    labels: tuple[str, ...] = ()


FEED: Final = ("feed", "domain")
SOLUTION: Final = ("solution",)
JOB: Final = ("dagster_job",)
"""Not `job`: Prometheus gives that name, and `instance`, to what it scrapes, and would call ours `exported_job`."""
METRICS: Final[dict[str, Metric]] = {
    # the instance
    "cellworks_build_info": Metric("gauge", "Always 1; names release and stores.", ("version", "environment")),
    "cellworks_source_up": Metric("gauge", "Whether a source of figures answered.", ("source",)),
    "cellworks_source_read_seconds": Metric("gauge", "How long its last reading took.", ("source",)),
    "cellworks_source_read_timestamp_seconds": Metric("gauge", "When its figures were read.", ("source",)),
    "cellworks_disk_free_bytes": Metric("gauge", "Room on the disk of the home."),
    "cellworks_lake_data_bytes": Metric("gauge", "Data files that the lake's newest snapshot names."),
    "cellworks_lake_data_files": Metric("gauge", "Their number."),
    "cellworks_lake_snapshot": Metric("gauge", "Number of the lake's newest snapshot."),
    # inflow
    "cellworks_plant_clock_timestamp_seconds": Metric("gauge", "Newest moment that any record speaks of."),
    "cellworks_feed_newest_record_timestamp_seconds": Metric("gauge", "Newest moment of a feed's records.", FEED),
    "cellworks_feed_lag_seconds": Metric("gauge", "How far that lies behind the plant's clock.", FEED),
    "cellworks_feed_stale_after_seconds": Metric("gauge", "Lag from which the feed counts as silent.", FEED),
    "cellworks_feed_last_ingested_timestamp_seconds": Metric("gauge", "When rows of it were last taken in.", FEED),
    "cellworks_ingested_rows_total": Metric("counter", "Rows taken in.", FEED),
    "cellworks_quarantined_rows_total": Metric("counter", "Rows set aside.", FEED),
    "cellworks_quarantined_files_total": Metric("counter", "Deliveries set aside as a whole.", FEED),
    "cellworks_quarantine_ratio": Metric("gauge", "Of the newest batch's rows, the share set aside.", FEED),
    "cellworks_quarantine_open_records": Metric("gauge", "Records in quarantine that nobody replayed.", FEED),
    # checks
    "cellworks_table_checks": Metric("gauge", "Checks of tables that were evaluated.", ("layer", "domain")),
    "cellworks_table_checks_failing": Metric("gauge", "Of these, failed when last evaluated.", ("layer", "domain")),
    "cellworks_domain_published_timestamp_seconds": Metric("gauge", "When a domain last passed all.", ("domain",)),
    # solutions
    "cellworks_solution_info": Metric(
        "gauge", "Always 1; names family, owner and champion.", (*SOLUTION, "stage", "family", "owner", "version")
    ),
    "cellworks_solution_working": Metric("gauge", "1 when the newest night went well, 0 when it failed.", SOLUTION),
    "cellworks_solution_night_timestamp_seconds": Metric("gauge", "When the newest night ended.", SOLUTION),
    "cellworks_solution_checks_failing": Metric("gauge", "Checks of the newest night that failed.", SOLUTION),
    "cellworks_solution_check_failing": Metric("gauge", "Whether a check failed last time.", (*SOLUTION, "check")),
    "cellworks_solution_scored_rows": Metric("gauge", "Rows that it has answered.", SOLUTION),
    "cellworks_solution_alarms_total": Metric("counter", "Alarms of the platform about it.", SOLUTION),
    # models
    "cellworks_model_created_timestamp_seconds": Metric("gauge", "When the champion was trained.", SOLUTION),
    "cellworks_model_skill": Metric("gauge", "The champion's metric on its hold-out.", (*SOLUTION, "metric")),
    "cellworks_model_baseline_skill": Metric("gauge", "The naive baseline's.", (*SOLUTION, "metric")),
    "cellworks_live_skill": Metric("gauge", "Its metric on the newest day with labels.", (*SOLUTION, "metric")),
    "cellworks_live_skill_low": Metric("gauge", "Lower end of its 95 % interval.", (*SOLUTION, "metric")),
    "cellworks_live_skill_high": Metric("gauge", "Upper end of it.", (*SOLUTION, "metric")),
    "cellworks_drifted_inputs": Metric("gauge", "Inputs of the champion that drifted.", SOLUTION),
    "cellworks_score_drifted": Metric("gauge", "Whether its answers drifted.", SOLUTION),
    # actions
    "cellworks_actions_proposed_total": Metric("counter", "Actions proposed.", (*SOLUTION, "kind")),
    "cellworks_actions_decided_total": Metric("counter", "Decisions about them.", (*SOLUTION, "decision")),
    "cellworks_actions_awaiting_approval": Metric("gauge", "Actions that wait for a person.", (*SOLUTION, "kind")),
    # runs
    "cellworks_runs_queued": Metric("gauge", "Runs that wait for their turn."),
    "cellworks_runs_in_progress": Metric("gauge", "Runs that are at work."),
    "cellworks_run_oldest_queued_timestamp_seconds": Metric("gauge", "Since when the oldest of the queue waits."),
    "cellworks_run_oldest_in_progress_timestamp_seconds": Metric("gauge", "Since when the oldest is at work."),
    "cellworks_job_last_success_timestamp_seconds": Metric("gauge", "When a job last went well.", JOB),
    "cellworks_job_last_failure_timestamp_seconds": Metric("gauge", "When a job last failed.", JOB),
    # cost
    "cellworks_solution_cpu_seconds_total": Metric("counter", "CPU of its nights.", SOLUTION),
    "cellworks_solution_read_bytes_total": Metric("counter", "Bytes that its nights read from files.", SOLUTION),
    "cellworks_solution_written_bytes_total": Metric("counter", "Bytes that its nights wrote to files.", SOLUTION),
    "cellworks_solution_object_store_read_bytes_total": Metric(
        "counter", "Bytes fetched from the object store.", SOLUTION
    ),
    "cellworks_solution_object_store_written_bytes_total": Metric(
        "counter", "Bytes sent to the object store.", SOLUTION
    ),
    "cellworks_solution_night_cpu_seconds": Metric("gauge", "CPU of the newest night.", SOLUTION),
    "cellworks_solution_night_seconds": Metric("gauge", "How long the newest night took.", SOLUTION),
    "cellworks_solution_night_peak_memory_bytes": Metric("gauge", "The most that its process held.", SOLUTION),
}


class Sample(NamedTuple):
    """One value of a metric, with its labels in the metric's order."""

    name: str
    value: float
    labels: tuple[str, ...] = ()
