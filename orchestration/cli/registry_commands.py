"""`models` and `rollback`."""

from __future__ import annotations

import getpass

from orchestration.catalogue import discover, find
from orchestration.cli import console
from orchestration.plant import plant


def show_models(*, as_json: bool) -> None:
    """Print the versions of every solution with aliases and verdict."""
    from models.registry.client import open_home
    from models.registry.versions import aliases, all_versions

    client = open_home(plant().home)
    rows = []
    for spec in discover():
        named = aliases(client, spec.name)
        for version in all_versions(client, spec.name):
            tags = dict(version.tags)
            rows.append(
                {
                    "solution": spec.solution,
                    "version": str(version.version),
                    "aliases": [alias for alias, number in named.items() if number == str(version.version)],
                    "verdict": tags.get("verdict", ""),
                    "reason": tags.get("verdict_reason", ""),
                }
            )
    if as_json:
        print(console.as_json(rows))
        return
    columns = ["solution", "version", "aliases", "verdict", "reason"]
    console.table("Models", columns, [[row[name] for name in columns] for row in rows])


def roll_back(solution: str, who: str | None, why: str) -> None:
    """Move champion back to previous."""
    from models.registry.aliases import rollback

    done = rollback(plant().home, find(solution).slug, who or getpass.getuser(), why)
    print(done.sentence)
