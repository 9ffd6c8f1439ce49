"""Writing a solution pack: definitions, their tables' written checks, and MLflow's figures of champions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from expectations.written import WrittenSuite, written_suites
from models.families import family_of
from models.registry.provenance import code_revision
from models.solution import SolutionSpec
from orchestration.catalogue import discover, find, solution_files
from orchestration.packs.contents import CARD, DEFS, refuse_files, safe_yaml, write_pack
from orchestration.plant import Plant

_STAMPS = ("plan_hash", "code_revision", "lock_hash")


def export_pack(here: Plant, names: Sequence[str], file: Path) -> dict[str, Any]:
    """Write the solutions into a pack.

    Args:
        here: the plant.
        names: stage/slug or slug of each.
        file: the new ZIP file.

    Returns:
        `file`, `solutions` and `suites`.

    Raises:
        CellworksError: there is no such solution, it reads a file, or the ZIP file is there already.
    """
    known = discover()
    specs = list({spec.solution: spec for spec in (find(name, known) for name in names)}.values())
    places = {f"{stage}/{slug}": place for stage, slug, place in solution_files()}
    texts: dict[str, str] = {}
    for spec in specs:
        text = places[spec.solution].read_text(encoding="utf-8")
        refuse_files(safe_yaml(text, str(places[spec.solution])), spec.solution)
        texts[f"solutions/{spec.solution}/{DEFS}"] = text
        texts[f"solutions/{spec.solution}/{CARD}"] = _card(here, spec)
    suites = _suites(here, specs)
    texts |= suites
    write_pack(file, here.site.name, datetime.now(UTC), code_revision(), here.site.plan.hash, texts)
    return {"file": str(file), "solutions": [spec.solution for spec in specs], "suites": sorted(suites)}


def _suites(here: Plant, specs: Sequence[SolutionSpec]) -> dict[str, str]:
    tables = {table.lower().removeprefix("lake.") for spec in specs for table in spec.tables}
    written = {table: suites for table, suites in written_suites(here.site).items() if table in tables}
    found: dict[str, str] = {}
    for table, suites in written.items():
        for number, suite in enumerate(suites):
            name = table.replace(".", "_") + (f"_{number + 1}" if number else "")
            found[f"suites/{name}.yaml"] = _yaml(suite)
    return found


def _yaml(suite: WrittenSuite) -> str:
    content = suite.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _card(here: Plant, spec: SolutionSpec) -> str:
    """What it asks, and its champion's figures; neither rows nor values of them, nor bytes of a model."""
    family = family_of(spec)
    head = [f"# {spec.solution}", "", spec.question, "", f"Family: {family.component}. Site: {here.site.name}."]
    if spec.description:
        head += ["", spec.description]
    return "\n".join([*head, "", *(_figures(here, spec) if family.learns else ["A rule: nothing is learnt."]), ""])


def _figures(here: Plant, spec: SolutionSpec) -> list[str]:
    from models.registry.client import open_home
    from models.registry.versions import champion

    client = open_home(here.home)
    best = champion(here.home, spec.slug, client=client, audited=here.site.access.is_guarded)
    if best is None or best.version is None:
        return ["No version was promoted at this site."]
    version = best.version
    metrics = client.get_run(version.run_id).data.metrics
    stamps = {name: version.tags[name] for name in _STAMPS if name in version.tags}
    return [
        f"Version {version.number}, the champion of this site.",
        "",
        "| metric | value |",
        "| --- | --- |",
        *(f"| {name} | {value:.5g} |" for name, value in sorted(metrics.items())),
        "",
        *(f"- {name}: {value}" for name, value in stamps.items()),
    ]
