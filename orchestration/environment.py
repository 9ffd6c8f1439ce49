"""Where this process works, and the switches that must be set before third parties are imported.

Belongs here: environment variables and the folders they name. Not here: anything that opens one.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.lake.home import Home

SITE_VARIABLE = "CELLWORKS_SITE"
HOME_VARIABLE = "CELLWORKS_HOME"
DEFINITIONS_VARIABLE = "CELLWORKS_DEFS"
GATEWAY_VARIABLE = "CELLWORKS_GATEWAY"
"""`none` in the layouts of containers, whose pages have no gateway before them."""

# No phoning home: a plant's network is closed, and usage is nobody's business. Each library has its
# own switch and reads it while it is imported.
QUIET = {
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYBAMM_DISABLE_TELEMETRY": "true",
}


# OpenMP threads spin while they wait. Beside other work on the same cores that multiplies the time of a fit:
# LightGBM on 40,000 x 150, two threads on two busy cores: 16 s instead of 96 s of wall, 7 s instead of 30 s of CPU.
POLITE = {"OMP_WAIT_POLICY": "PASSIVE"}


def prepare_process() -> None:
    """Set the switches of this process and its children; before any library that reads one is imported.

    Usage reporting of Dagster, dbt, Great Expectations and MLflow is off whatever the machine says; waiting OpenMP
    threads sleep, unless the machine says otherwise.
    """
    os.environ.update(QUIET)
    for name, value in POLITE.items():
        os.environ.setdefault(name, value)


def project_root() -> Path:
    """Return the folder that holds `orchestration/`, `dbt/` and `infra/`."""
    return Path(__file__).resolve().parents[1]


def default_home() -> Path:
    """Return the folder that an instance's state lies in unless `CELLWORKS_HOME` names another."""
    return project_root() / ".cellworks"


def default_site() -> Path:
    """Return the folder of the demonstration site."""
    return project_root() / "infra" / "sites" / "demo"


def site_folder() -> Path:
    """Return the folder of the site: `CELLWORKS_SITE`, or the demonstration site of the project."""
    named = os.environ.get(SITE_VARIABLE)
    return Path(named) if named else default_site()


def definition_folders() -> list[Path]:
    """Return the folders whose `<stage>/<slug>/defs.yaml` are this instance's solutions.

    The project's own come first; `CELLWORKS_DEFS` adds others, parted as in `PATH`; last those that
    `cellworks solution new` wrote for this instance.
    """
    extra = [Path(part) for part in os.environ.get(DEFINITIONS_VARIABLE, "").split(os.pathsep) if part]
    own = [own_definitions()] if own_definitions().is_dir() else []
    return [project_root() / "orchestration" / "defs", *extra, *own]


def own_definitions() -> Path:
    """Return the folder of the solutions over a person's own tables.

    It lies in the instance's home and not in the project, because their tables are this instance's alone.
    """
    return Home.from_env().root / "solutions"
