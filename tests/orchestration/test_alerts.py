"""Alerts as Prometheus evaluates them: each fires on its trouble, in the words a person gets, and not just beside it.

`promtool` comes with Prometheus (Debian: `apt-get install prometheus`); without it these tests are left out.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from orchestration.metrics.names import METRICS
from tests.orchestration.test_observability import ALERTS, BY_PROMETHEUS, FOLDER

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")

TARGET = {"job": "cellworks", "instance": "127.0.0.1:9464"}
"""Labels that Prometheus gives to what it scrapes; a served one of the same name becomes `exported_...`."""
NOW_MIN = 120
ON_TIME = {"feed": "weld", "domain": "process"}
SOLVED = {"solution": "line/weld"}
Series = dict[str, str]


def of(metric: str, values: object, **labels: str) -> Series:
    """A series as it is after the scrape, in promtool's form; values may be a constant."""
    held = dict(labels)
    if metric not in BY_PROMETHEUS:
        assert set(labels) == set(METRICS[metric].labels), metric
        held = {f"exported_{name}" if name in TARGET else name: value for name, value in labels.items()}
        held["site"] = "demo"
    text = ", ".join(f'{name}="{value}"' for name, value in {**held, **TARGET}.items())
    return {"series": f"{metric}{{{text}}}", "values": values if isinstance(values, str) else f"{values}x3000"}


def ago(hours: float) -> float:
    """The moment so many hours before the evaluation, s."""
    return (NOW_MIN / 60 - hours) * 3600


@dataclass(frozen=True)
class Case:
    """Series on which an alert fires, what a person reads then, and series on which it must not."""

    fires: list[Series]
    summary: str
    quiet: list[Series]
    labels: dict[str, str]
    at_min: int = NOW_MIN


def _ingested(weld_h: float, coat_h: float) -> list[Series]:
    name = "cellworks_feed_last_ingested_timestamp_seconds"
    return [of(name, ago(weld_h), **ON_TIME), of(name, ago(coat_h), feed="coat", domain="process")]


def _refused(ratio: float, held: int) -> list[Series]:
    return [
        of("cellworks_quarantine_ratio", ratio, **ON_TIME),
        of("cellworks_quarantine_open_records", held, **ON_TIME),
    ]


def _silent(lag_s: float) -> list[Series]:
    return [
        of("cellworks_feed_lag_seconds", lag_s, **ON_TIME),
        of("cellworks_feed_stale_after_seconds", 3600, **ON_TIME),
    ]


def _night(job: str, hours: float) -> list[Series]:
    return [of("cellworks_job_last_success_timestamp_seconds", ago(hours), dagster_job=job)]


def _watched(source: str, is_up: object = 1) -> list[Series]:
    return [of("cellworks_source_up", is_up, source=source)]


def _drifted(inputs: int, score: int) -> list[Series]:
    return [of("cellworks_drifted_inputs", inputs, **SOLVED), of("cellworks_score_drifted", score, **SOLVED)]


def _proposed(by_the_minute: float) -> list[Series]:
    name = "cellworks_actions_proposed_total"
    return [of(name, f"0+{by_the_minute}x200", kind=kind, **SOLVED) for kind in ("hold_lot", "set_point")]


SITE, SOLUTION = {"site": "demo"}, {"site": "demo", **SOLVED, **TARGET}
FEED, PLANT = {"site": "demo", **ON_TIME, **TARGET}, {"site": "demo", **TARGET}
CASES = {
    "CellworksMetricsAway": Case([of("up", 0)], "127.0.0.1:9464 serves no metrics", [of("up", 1)], TARGET),
    "CellworksSourceAway": Case(
        [of("cellworks_source_up", 0, source="lake")],
        "demo: lake does not answer",
        [of("cellworks_source_up", 1, source="lake")],
        {**PLANT, "source": "lake"},
    ),
    "CellworksDiskFilling": Case(
        [of("cellworks_disk_free_bytes", "100e9-0.2e9x200")],
        "demo: the disk of the home will be full within a day",
        [of("cellworks_disk_free_bytes", "100e9-0.01e9x200")],
        PLANT,
    ),
    "CellworksPlatformAlarm": Case(
        [of("cellworks_solution_alarms_total", "4x100 5x100", **SOLVED)],
        "demo: an alarm about line/weld",
        [of("cellworks_solution_alarms_total", 5, **SOLVED)],
        SOLUTION,
    ),
    "CellworksNightMissed": Case(
        _night("nightly", 32),
        "demo: no night has gone through for 1d 8h 0m 0s",
        [*_night("nightly", 29), *_night("maintenance", 400)],
        {**PLANT, "dagster_job": "nightly"},
    ),
    "CellworksNightNever": Case(
        _watched("dagster"),
        "demo: watched for 30 hours, and no night has gone through",
        [*_watched("dagster"), *_night("nightly", 29)],
        {**PLANT, "source": "dagster"},
        31 * 60,
    ),
    "CellworksRunHangs": Case(
        [of("cellworks_run_oldest_in_progress_timestamp_seconds", ago(7))],
        "demo: a run has been at work for 7h 0m 0s",
        [of("cellworks_run_oldest_in_progress_timestamp_seconds", ago(5.9))],
        PLANT,
    ),
    "CellworksQueueLong": Case(
        [of("cellworks_run_oldest_queued_timestamp_seconds", ago(2))],
        "demo: a run has waited for 2h 0m 0s",
        [of("cellworks_run_oldest_queued_timestamp_seconds", ago(1.1))],
        PLANT,
    ),
    "CellworksIngestionStopped": Case(
        _ingested(40, 32), "demo: nothing was taken in for 1d 8h 0m 0s", _ingested(40, 1), SITE
    ),
    "CellworksFeedSilent": Case(_silent(7200), "demo: weld is 2h 0m 0s behind the others", _silent(3600), FEED),
    "CellworksQuarantineHigh": Case(
        _refused(0.05, 12), "demo: 5% of the newest rows of weld do not fit", _refused(0.05, 9), FEED
    ),
    "CellworksTableChecksFail": Case(
        [of("cellworks_table_checks_failing", 2, layer="marts", domain="test")],
        "demo: 2 blocking checks of marts, test, fail",
        [of("cellworks_table_checks_failing", 0, layer="marts", domain="test")],
        {**PLANT, "layer": "marts", "domain": "test"},
    ),
    "CellworksDomainNotPublished": Case(
        [of("cellworks_domain_published_timestamp_seconds", ago(96), domain="test")],
        "demo: test was last published 4d 0h 0m 0s ago",
        [of("cellworks_domain_published_timestamp_seconds", ago(70), domain="test")],
        {**PLANT, "domain": "test"},
    ),
    "CellworksSolutionFails": Case(
        [of("cellworks_solution_working", 0, **SOLVED)],
        "demo: the newest night of line/weld failed",
        [of("cellworks_solution_working", 1, **SOLVED)],
        SOLUTION,
    ),
    "CellworksLiveSkillLost": Case(
        [of("cellworks_solution_check_failing", 1, check="live_skill", **SOLVED)],
        "demo: line/weld predicts worse than its hold-out promised",
        [of("cellworks_solution_check_failing", 1, check="drift", **SOLVED)],
        {**SOLUTION, "check": "live_skill"},
    ),
    "CellworksDrift": Case(
        _drifted(3, 1), "demo: inputs and answers of line/weld have drifted for a day", _drifted(3, 0), SOLUTION, 1500
    ),
    "CellworksModelOld": Case(
        [of("cellworks_model_created_timestamp_seconds", ago(91 * 24), **SOLVED)],
        "demo: the champion of line/weld is 91d 0h 0m 0s old",
        [of("cellworks_model_created_timestamp_seconds", ago(89 * 24), **SOLVED)],
        SOLUTION,
    ),
    "CellworksActionsWait": Case(
        [of("cellworks_actions_awaiting_approval", 21, kind="hold_lot", **SOLVED)],
        "demo: 21 actions of line/weld wait for approval",
        [of("cellworks_actions_awaiting_approval", 20, kind="hold_lot", **SOLVED)],
        {**SOLUTION, "kind": "hold_lot"},
    ),
    "CellworksActionStorm": Case(
        _proposed(1), "demo: line/weld proposed 120 actions within an hour", _proposed(0.5), {**SITE, **SOLVED}
    ),
    "CellworksSolutionCostly": Case(
        [of("cellworks_solution_night_cpu_seconds", "30x1440 200x200", **SOLVED)],
        "demo: the newest night of line/weld took 200 s of CPU, three times its usual",
        [of("cellworks_solution_night_cpu_seconds", "30x1440 59x200", **SOLVED)],
        SOLUTION,
        1540,
    ),
}


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_an_alert_fires_on_its_trouble_and_not_beside_it(rule: dict, tmp_path: Path) -> None:
    name, case = rule["alert"], CASES[rule["alert"]]
    told = {
        "exp_labels": {**case.labels, **rule["labels"]},
        "exp_annotations": {**rule["annotations"], "summary": case.summary},
    }
    _evaluated(tmp_path, [_asked(name, case.fires, case.at_min, [told]), _asked(name, case.quiet, case.at_min, [])])


def test_an_alert_that_does_not_fire_is_noticed(tmp_path: Path) -> None:
    case = CASES["CellworksRunHangs"]
    with pytest.raises(AssertionError, match="got:\\[\\]"):
        _evaluated(tmp_path, [_asked("CellworksRunHangs", case.quiet, case.at_min, [{"exp_labels": {"site": "demo"}}])])


def test_no_night_is_missed_before_one_could_have_been_or_while_dagster_does_not_answer(tmp_path: Path) -> None:
    young = _asked("CellworksNightNever", _watched("dagster"), 29 * 60, [])
    away = _asked("CellworksNightNever", _watched("dagster", "1x1700 0x1300"), 31 * 60, [])
    _evaluated(tmp_path, [young, away])


@pytest.mark.parametrize(
    ("name", "metric", "kind", "summary"),
    [
        ("CellworksPlatformAlarm", "cellworks_solution_alarms_total", {}, "demo: an alarm about line/weld"),
        (
            "CellworksActionStorm",
            "cellworks_actions_proposed_total",
            {"kind": "hold_lot"},
            "demo: line/weld proposed 120 actions within an hour",
        ),
    ],
)
def test_the_very_first_is_told_because_nought_is_served_before_it(
    name: str, metric: str, kind: dict[str, str], summary: str, tmp_path: Path
) -> None:
    (rule,) = (each for each in ALERTS if each["alert"] == name)
    told = {
        "exp_labels": {**CASES[name].labels, **rule["labels"]},
        "exp_annotations": {**rule["annotations"], "summary": summary},
    }
    from_nought = [of(metric, "0x90 120x100", **kind, **SOLVED)]
    from_the_first = [of(metric, "_x90 120x100", **kind, **SOLVED)]
    _evaluated(tmp_path, [_asked(name, from_nought, NOW_MIN, [told]), _asked(name, from_the_first, NOW_MIN, [])])


def test_prometheus_takes_the_configuration() -> None:
    _promtool("check", "config", str(FOLDER / "prometheus.yml"))


def _asked(alert: str, series: list[Series], at_min: int, told: list[dict[str, dict[str, str]]]) -> dict[str, object]:
    wanted = {"alertname": alert, "eval_time": f"{at_min}m", "exp_alerts": told}
    return {"interval": "1m", "input_series": series, "alert_rule_test": [wanted]}


def _evaluated(folder: Path, tests: list[dict[str, object]]) -> None:
    file = folder / "tests.yml"
    content = {"rule_files": [str(FOLDER / "alerts.yml")], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    _promtool("test", "rules", str(file))


def _promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
