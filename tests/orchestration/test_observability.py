"""Alerts and dashboard: expressions that parse, over metrics and labels that are served, with words that help."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from typer.main import get_command

from orchestration.cli.main import app
from orchestration.metrics.names import METRICS

FOLDER = Path(__file__).parents[2] / "infra" / "observability"
ALERTS = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {each["name"]: each.get("query") for each in DASHBOARD["templating"]["list"]}
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in ALERTS} | {
    f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
}
BY_PROMETHEUS = {"up": {"job", "instance"}}


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Metric and labels of each selector of an expression."""
    found: list[tuple[str, set[str]]] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, {matcher.name for matcher in node.matchers.matchers}))
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_parses_and_asks_only_for_what_is_served(name: str) -> None:
    asked = selectors(EXPRESSIONS[name])
    assert asked
    for metric, labels in asked:
        assert labels <= _labels(metric), (metric, labels - _labels(metric))


def test_an_expression_that_is_none_or_asks_for_something_else_is_noticed() -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        promql_parser.parse("sum by (site (x)")
    assert selectors('rate(x_total{a="1"}[5m]) > on (site) group_left () y') == [("x_total", {"a"}), ("y", set())]


def test_every_metric_is_named_as_prometheus_asks() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch(r"cellworks_[a-z_]+[a-z]", name), name
        assert (metric.kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(ms|minutes|hours|mb|kb|gb|percent)\b", name), name
        assert metric.says.endswith("."), name
        assert not set(metric.labels) & {"site", *BY_PROMETHEUS["up"]}, f"{name}: Prometheus would rename it"


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
        for named in re.findall(r"`cellworks ([a-z-]+)", rule["annotations"]["action"]):
            assert named in commands, (rule["alert"], named)
        # What a text names of the labels must be there when the alert fires.
        labels = {"instance", *(label for metric, _ in selectors(rule["expr"]) for label in _labels(metric))}
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label in labels, (rule["alert"], label)
        if "for" in rule:
            promql_parser.parse_duration(rule["for"])


def _labels(metric: str) -> set[str]:
    return BY_PROMETHEUS.get(metric) or {"site", *METRICS[metric].labels}


def test_panels_do_not_overlap_and_every_part_that_the_platform_promises_is_shown() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) - {"__all"}
    assert used <= set(VARIABLES)
    shown = {metric for expression in EXPRESSIONS.values() for metric, _ in selectors(expression)}
    wanted = {
        "cellworks_feed_lag_seconds",
        "cellworks_ingested_rows_total",
        "cellworks_quarantine_ratio",
        "cellworks_table_checks_failing",
        "cellworks_model_created_timestamp_seconds",
        "cellworks_live_skill",
        "cellworks_actions_proposed_total",
        "cellworks_runs_queued",
        "cellworks_solution_night_cpu_seconds",
    }
    assert wanted <= shown


def test_prometheus_is_pointed_at_the_rules_and_at_the_port_that_is_served() -> None:
    settings = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert [(FOLDER / name).is_file() for name in settings["rule_files"]] == [True]
    (job,) = settings["scrape_configs"]
    option = next(each for each in get_command(app).commands["metrics"].commands["serve"].params if each.name == "port")  # type: ignore[attr-defined]
    assert job["job_name"] == "cellworks"
    assert job["static_configs"] == [{"targets": [f"127.0.0.1:{option.default}"]}]
