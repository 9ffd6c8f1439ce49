"""The dbt project as it runs: a copy of `dbt/` in the instance's folder, completed for the site.

The copy holds the site's plan as a macro, its sources and contracts, so that a new site needs no SQL. Files are only
written when they differ: dbt's partial parse and a manifest in memory then stay good.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.control_plan.site import Site
from pipelines.curation import instance
from pipelines.curation.contracts import PROJECT, plan_data_of, schema_files, write
from pipelines.lake.connection import ALIAS, catalogue_options, extension_file
from pipelines.lake.home import Home

DATABASE_VARIABLE = "CELLWORKS_DBT_DATABASE"
# Macros that a staging model is made with; a change of any other leaves staging as it is.
STAGING_MACROS = ("names.sql", "rebuild_days.sql", "materializations.sql", "staging.sql")
_SOURCES = (
    "dbt_project.yml",
    "contracts/*.yml",
    "models/**/*.sql",
    "models/exposures.yml",
    "macros/*.sql",
    "tests/**/*.sql",
)


@dataclass(frozen=True)
class Project:
    """A project ready to run.

    Attributes:
        folder: where it lies.
        hash: changes with any of its files, the plan included.
    """

    folder: Path
    hash: str


# Projects that this process has written, with the state of what they were written from.
_ready: dict[Path, tuple[object, Project]] = {}


def prepare(home: Home, site: Site) -> Project:
    """Write the project and profile of an instance, as far as they are not there already.

    Args:
        home: the instance.
        site: the site whose plan completes the project.
    """
    sources = _sources()
    state = (home.dbt_dir, site.hash, tuple((path, path.stat().st_mtime_ns) for path in sources))
    if (ready := _ready.get(home.dbt_dir)) is not None and ready[0] == state and ready[1].folder.is_dir():
        return ready[1]
    files = _content(site)
    folder = home.dbt_dir / "project"
    write(folder, files)
    _remove_strays(folder, files)
    write(home.dbt_dir, {Path("profiles.yml"): _profile(home)})
    project = Project(folder, _hash_of(files))
    _ready[home.dbt_dir] = (state, project)
    return project


def current_hash(site: Site) -> str:
    """The hash that a project of this site would have, without writing it."""
    return _hash_of(_content(site))


def _sources() -> list[Path]:
    return [path for pattern in _SOURCES for path in sorted(PROJECT.glob(pattern))]


def _content(site: Site) -> dict[Path, str]:
    """Every file of the project with the site's part, by its place."""
    files = {path.relative_to(PROJECT): path.read_text(encoding="utf-8") for path in _sources()}
    files |= schema_files(site)
    files[Path("macros/plan.sql")] = _plan_macros(plan_data_of(site), files)
    return files


def _hash_of(files: dict[Path, str]) -> str:
    return _hash(*(f"{path}\n{content}" for path, content in sorted(files.items())))


def _remove_strays(folder: Path, files: dict[Path, str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder) not in files:
            path.unlink()


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}\n{part}".encode())
    return digest.hexdigest()[:32]


def _plan_macros(plan: dict[str, Any], files: dict[Path, str]) -> str:
    """Two macros that give the plan and the models' fingerprints.

    A variable of the project would do the same, but dbt reads its project file three times a call.
    """
    given = {"site_plan": plan, "model_fingerprints": _fingerprints(plan, files)}
    return "".join(
        f"{{% macro {name}() %}}{{{{ return(fromjson({json.dumps(json.dumps(data))})) }}}}{{% endmacro %}}\n"
        for name, data in given.items()
    )


def _fingerprints(plan: dict[str, Any], files: dict[Path, str]) -> dict[str, str]:
    """By model, a hash of what its rows depend on beside the data: its SQL, its macros, its part of the plan."""
    macros = {path.name: content for path, content in sorted(files.items()) if path.parts[0] == "macros"}
    staging_macros = _hash(*(macros[name] for name in STAGING_MACROS))
    all_macros, whole_plan = _hash(*macros.values()), json.dumps(plan, sort_keys=True)
    found = {}
    for path, content in files.items():
        if path.suffix != ".sql" or path.parts[0] != "models":
            continue
        if path.parts[1] == "staging":
            feed = json.dumps(plan["feeds"][path.stem.removeprefix("stg_")], sort_keys=True)
            found[path.stem] = _hash(content, staging_macros, feed)
        else:
            found[path.stem] = _hash(content, all_macros, whole_plan, files.get(path.with_suffix(".yml"), ""))
    return found


def _profile(home: Home) -> str:
    """Profile of dbt-duckdb: the process's shared DuckDB, one thread.

    More are beyond a SQLite catalogue, and the statements are long: DuckDB spreads each over the cores.

    The path is a variable of the environment, since the shared DuckDB's name holds the process; without it, as by
    hand, dbt gets a DuckDB of its own.
    """
    stores = home.stores
    lake = {
        "path": stores.catalogue,
        "alias": ALIAS,
        "is_ducklake": True,
        "options": {
            "data_path": stores.data_path,
            "override_data_path": True,
            **{name.lower(): yaml.safe_load(value) for name, value in catalogue_options(stores).items()},
        },
    }
    output = {
        "type": "duckdb",
        "path": "{{ env_var('" + DATABASE_VARIABLE + "', ':memory:') }}",
        "keep_open": True,
        "database": ALIAS,
        "schema": "staging",
        "threads": 1,
        "extensions": [str(extension_file(name)) for name in stores.extensions],
        "config_options": instance.config(home),
        "settings": {"TimeZone": "UTC"},
        "attach": [lake],
    }
    return yaml.safe_dump({"cellworks": {"target": "lake", "outputs": {"lake": output}}}, sort_keys=False)
