"""Jobs, schedules, sensors, asset groups, components and checks, from the definitions that Dagster is served."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import dagster as dg
import yaml

from orchestration import components
from orchestration.assembly import build_definitions
from orchestration.manifest import Layer, Table

LAYERS = ("raw", "staging", "marts")
MODELS = Path(__file__).resolve().parents[2] / "dbt" / "models"


def platform() -> str:
    """Return the page."""
    definitions = build_definitions(tables=contract_tables())
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    parts = [
        "# Jobs, schedules, sensors, groups",
        "What Dagster is served for the demo site. A new solution or table joins the jobs by its tags.",
        "## Jobs",
        _table(
            ("job", "does"),
            (
                (f"`{job.name}`", job.description or "")
                for job in repository.get_all_jobs()
                if not job.name.startswith("__")
            ),
        ),
        "## Schedules",
        "Cron lines are the site's own (`schedules:` in site.yaml), in its time zone.",
        _table(
            ("schedule", "job", "cron", "time zone"),
            (
                (f"`{each.name}`", f"`{each.job_name}`", f"`{each.cron_schedule}`", each.execution_timezone or "")
                for each in repository.schedule_defs
            ),
        ),
        "## Sensors",
        _table(
            ("sensor", "starts", "looks every", "when"),
            (
                (
                    f"`{each.name}`",
                    ", ".join(f"`{target.job_name}`" for target in each.targets),
                    f"{each.minimum_interval_seconds} s",
                    each.description or "",
                )
                for each in repository.sensor_defs
            ),
        ),
        "## Asset groups",
        _table(("group", "assets"), ((f"`{name}`", str(count)) for name, count in _groups(graph))),
        "## Asset checks",
        "Checks of tables block what reads them; checks of solutions warn and never stop a run.",
        _table(("check", "on", "blocks", "says"), _checks(graph)),
        "## Components",
        _table(("type", "is"), _components()),
    ]
    return "\n\n".join(parts) + "\n"


def contract_tables() -> list[Table]:
    """Return the curated tables as the dbt schema files name them, without parsing the project."""
    layers: tuple[Layer, ...] = ("staging", "marts")
    return [
        Table(layer, model["name"], file.parent.name, model["description"], {}, frozenset())
        for layer in layers
        for file in sorted((MODELS / layer).glob("*/*.yml"))
        for model in yaml.safe_load(file.read_text(encoding="utf-8"))["models"]
    ]


def _groups(graph: dg.AssetGraph) -> list[tuple[str, int]]:
    keys = graph.get_all_asset_keys()
    groups = [graph.get(key).group_name for key in keys]
    return [(name, groups.count(name)) for name in sorted(set(groups))]


def _checks(graph: dg.AssetGraph) -> list[tuple[str, str, str, str]]:
    found: dict[tuple[str, str, str, str], None] = {}
    for key in sorted(graph.asset_check_keys, key=lambda key: key.to_user_string()):
        spec = graph.get_check_spec(key)
        first, last = spec.asset_key.path[0], spec.asset_key.path[-1]
        on = f"tables of `{first}`" if first in LAYERS else f"`{last}` of every solution"
        found.setdefault((f"`{spec.name}`", on, "yes" if spec.blocking else "no", spec.description or ""))
    return list(found)


def _components() -> Iterable[tuple[str, str]]:
    for name, value in vars(components).items():
        if isinstance(value, type) and issubclass(value, dg.Component):
            text = " ".join((value.__doc__ or "").split())
            yield f"`{value.__module__.rsplit('.', 1)[0]}.{name}`", text


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
