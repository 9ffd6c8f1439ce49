"""Tables and columns, from the feeds, the contracts and the glossary that dbt itself reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipelines.control_plan.derive import raw_schema
from pipelines.control_plan.site import Site, load_site

PROJECT = Path(__file__).resolve().parents[2]
MODELS = PROJECT / "dbt" / "models"
_VIEW = "cell_at_"
_RAW = """\
`raw.<feed>` holds what was delivered, corrections and duplicates included; `staging.stg_<feed>` the newest record
of each key, typed, in the plan's units. Beside the columns below, a raw table has `_source`, `_batch_id` and
`production_day`. The demo site's feeds:"""
_MARTS = """\
What solutions, pages and people read. Contracts are enforced: a column that is missing or of another type stops the
build. `!` marks a column that is never empty."""
_VIEWS = """\
One view per step at which a solution may act. Its columns are those of `cell` that belong to earlier steps; a value
that became known after the cell entered the step is empty. See [Point in time](../explanation/point-in-time.md)."""


def raw_and_staging() -> str:
    """Return the page of what was delivered and of its typed copy, by domain."""
    site = load_site(PROJECT / "infra" / "sites" / "demo")
    staging = dict(_models("staging"))
    parts = [
        "# Raw and staging tables",
        _RAW,
    ]
    for name, feed in site.feeds.items():
        description, columns = staging[f"stg_{name}"]
        parts += [
            f"## {name}",
            f"{description}",
            (
                f"Domain {feed.domain}, shape {feed.shape}, delivered as {feed.delivery.format} by "
                f"`{feed.delivery.source}`, "
                f"keys {', '.join(f'`{key}`' for key in feed.keys)}."
            ),
            _folded(f"{len(columns)} columns", _columns(columns, _types(site, name))),
        ]
    return "\n\n".join(parts) + "\n"


def marts() -> str:
    """Return the page of the marts; point-in-time views share one list of columns."""
    models = dict(_models("marts"))
    plain = {name: model for name, model in models.items() if not name.startswith(_VIEW)}
    parts = [
        "# Marts",
        _MARTS,
    ]
    for name, (description, columns) in plain.items():
        parts += [f"## {name}", description, _folded(f"{len(columns)} columns", _columns(columns))]
    parts += [
        "## Point-in-time views",
        _VIEWS,
        "\n".join(
            [
                "| view | columns | what it shows |",
                "| --- | --- | --- |",
                *(
                    f"| `{name}` | {len(columns)} | {description} |"
                    for name, (description, columns) in models.items()
                    if name.startswith(_VIEW)
                ),
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _models(layer: str) -> Iterator[tuple[str, tuple[str, list[dict[str, Any]]]]]:
    for file in sorted((MODELS / layer).glob("*/*.yml")):
        for model in yaml.safe_load(file.read_text(encoding="utf-8"))["models"]:
            yield model["name"], (" ".join(model["description"].split()), model["columns"])


def _types(site: Site, feed: str) -> dict[str, str]:
    return {name: kind.lower() for name, kind in raw_schema(site, feed).items()}


def _columns(columns: list[dict[str, Any]], types: dict[str, str] | None = None) -> list[str]:
    rows = ["| column | type | meaning |", "| --- | --- | --- |"]
    for column in columns:
        name = column["name"]
        kind = (types or {}).get(name, column.get("data_type", ""))
        required = "!" if any(each["type"] == "not_null" for each in column.get("constraints", [])) else ""
        rows.append(f"| `{name}` | {kind}{required} | {column['description'].replace('|', '/')} |")
    return rows


def _folded(title: str, lines: list[str]) -> str:
    return "\n".join([f'??? note "{title}"', "", *(f"    {line}" for line in lines)])
