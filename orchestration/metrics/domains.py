"""Which domain a table belongs to, told without the manifest of dbt, which takes a quarter of a minute to parse."""

from __future__ import annotations

from orchestration.environment import project_root
from pipelines.control_plan.site import Site


def table_domains(site: Site) -> dict[str, str]:
    """Domain of each table, by `layer.name`: feeds say it of theirs, the folders of dbt's models of the others."""
    models = project_root() / "dbt" / "models"
    curated = {
        f"{layer}.{file.stem}": file.parent.name
        for layer in ("staging", "marts")
        for file in sorted((models / layer).glob("*/*.sql"))
    }
    return {f"raw.{feed.name}": feed.domain for feed in site.feeds.values()} | curated
