"""A small plant after its night: every metric that alerts and dashboard name is in a real scrape of it."""

from __future__ import annotations

import signal
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.conftest import FirstNight, ended
from tests.orchestration.test_observability import BY_PROMETHEUS, EXPRESSIONS, selectors

pytestmark = pytest.mark.slow

# What a first night does not bring: nobody decides, waits or is told of a run, and no label has come after its answer.
NOT_YET = {
    "cellworks_actions_decided_total",
    "cellworks_live_skill",
    "cellworks_live_skill_low",
    "cellworks_live_skill_high",
    "cellworks_run_oldest_queued_timestamp_seconds",
    "cellworks_run_oldest_in_progress_timestamp_seconds",
    "cellworks_job_last_failure_timestamp_seconds",
    "cellworks_drifted_inputs",
    "cellworks_score_drifted",
}


def test_a_scrape_holds_every_metric_that_alerts_and_dashboard_name(first_night: FirstNight) -> None:
    serving = first_night.plant.start("metrics", "serve", "--port", "0", guarded=True)
    try:
        assert serving.stdout is not None
        address = serving.stdout.readline().split()[1]
        with urllib.request.urlopen(address, timeout=120) as answer:
            text = answer.read().decode()
    finally:
        serving.send_signal(signal.SIGTERM)
    assert ended(serving).code == 0
    families = list(text_string_to_metric_families(text))
    held = {sample.name for family in families for sample in family.samples}
    named = {metric for expression in EXPRESSIONS.values() for metric, _ in selectors(expression)} - set(BY_PROMETHEUS)
    assert named - NOT_YET <= held
    assert all(f"# TYPE {name} " in text for name in named)
    samples = [sample for family in families for sample in family.samples]
    values = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    assert values["cellworks_solution_working", "demo", "line/weld_resistance"] == 1.0
    assert values["cellworks_solution_night_cpu_seconds", "demo", "line/weld_resistance"] > 0
    assert values["cellworks_model_created_timestamp_seconds", "demo", "line/weld_resistance"] > 1.6e9
    checks = [each for each in samples if each.name == "cellworks_solution_check_failing"]
    failing = sum(each.value for each in checks if each.labels["solution"] == "line/weld_resistance")
    assert failing == values["cellworks_solution_checks_failing", "demo", "line/weld_resistance"]
    assert sum(value for (name, *_), value in values.items() if name == "cellworks_ingested_rows_total") > 1_000
    assert {value for (name, *_), value in values.items() if name == "cellworks_table_checks_failing"} == {0.0}
    assert not first_night.plant.refused_file.exists(), "it listens on the loopback address alone"
