"""`cellworks prune`: what the site's retention does not keep goes, or is only told."""

from __future__ import annotations

from typing import Any

from orchestration.cli import console
from orchestration.cli.acts import audited
from orchestration.cli.plant_commands import prepare_instance
from orchestration.plant import plant
from orchestration.run_lock import night_lock
from pipelines.lake.connection import require_lake


def prune(*, dry_run: bool, who: str | None, as_json: bool) -> None:
    """Let go, or tell, what is not kept."""
    from dagster import DagsterInstance

    from orchestration.retention import prune as retention

    here = plant()
    require_lake(here.home)
    with console.only_ours():
        prepare_instance(here)
        with DagsterInstance.get() as instance:
            if dry_run:
                found = retention.what_would_go(here, instance)
            else:
                with (
                    audited(here, "prune", here.site.name, "cellworks prune", who) as told,
                    night_lock(here.home, "prune"),
                ):
                    found = retention.prune(here, instance)
                    told |= {"gone": retention.told(found)}
    policy = here.site.retention.model_dump()
    if as_json:
        console.tell({"dry_run": dry_run, "policy": policy, **found}, "", as_json=True)
        return
    _show(found, "would go" if dry_run else "gone", policy)


def _show(found: dict[str, Any], verb: str, policy: dict[str, Any]) -> None:
    from orchestration.retention.prune import told

    rows = [(each["model"], each["version"], f"{each['trained_at']:%Y-%m-%d %H:%M}") for each in found["versions"]]
    if rows:
        console.table(("model", "version", "trained, UTC"), rows)
    console.line(f"{verb}: {told(found)}")
    console.line("kept: " + ", ".join(f"{name} {value:g}" for name, value in policy.items()))
