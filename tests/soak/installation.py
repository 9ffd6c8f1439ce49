"""The plant of the soak: a copy of the project with three solutions, and a site of short days.

Nights, maintenance and retention follow the wall clock, so a site of one-minute days says in days what a real one says,
divided by 1440.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = ("assembly/filling_and_wetting", "electrode/residual_solvent", "electrode/slurry_viscosity")
SITE = "soak"
_PARTS = ("orchestration", "models", "pipelines", "dbt", "expectations", "infra")
_FILES = ("pyproject.toml", "requirements.lock")
_DAY_S = 86_400
# In days of the plant.
KEPT_RUNS, KEPT_SNAPSHOTS, KEPT_DELETED, KEPT_FILES = 6, 3, 1, 1
# Of each model stay champion, shadow and challenger, and so many versions beside them.
KEPT_BESIDE = 1
ROOM = len(SOLUTIONS) * (3 + KEPT_BESIDE)
"""Versions with which the registry is full: each further one lets another go."""


@dataclass(frozen=True)
class Pace:
    """How fast the plant lives.

    Attributes:
        days: production days.
        day_s: seconds of wall clock that one takes.
        night_every: days from one night to the next.
        tidy_every: days from one maintenance to the next.
        scale: share of the cells that are followed.
    """

    days: int
    day_s: float
    night_every: int
    tidy_every: int
    scale: float


def install(folder: Path, pace: Pace) -> Path:
    """Copy the project into a folder, with three solutions and the site; the site's folder."""
    for name in _PARTS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "target", "logs"))
    for name in _FILES:
        shutil.copyfile(ROOT / name, folder / name)
    for file in (folder / "orchestration" / "defs").glob("*/*/defs.yaml"):
        if f"{file.parent.parent.name}/{file.parent.name}" not in SOLUTIONS:
            shutil.rmtree(file.parent)
    site = folder / "infra" / "sites" / SITE
    site.mkdir()
    (site / "site.yaml").write_text(yaml.safe_dump(_site(pace), sort_keys=False), encoding="utf-8")
    return site


def cron(days: int, day_s: float) -> str:
    """Every so many days, in whole minutes, which is the least that cron knows."""
    return f"*/{max(1, round(days * day_s / 60))} * * * *"


def _site(pace: Pace) -> dict[str, object]:
    def days(count: float) -> float:
        return count * pace.day_s / _DAY_S

    return {
        "inherits": "../demo",
        "name": SITE,
        "title": "a plant that lives fast",
        "schedules": {
            "plant_day": None,  # launched at the pace asked for, which cron may not know
            "weekly_search": None,
            "nightly": cron(pace.night_every, pace.day_s),
            "maintenance": cron(pace.tidy_every, pace.day_s),
        },
        "sensor_interval_s": 5,
        # Former champions are kept for ever, with their training sets: that is a growth that is wanted, and would
        # cover one that is not.
        "shadow_nights": 10_000,
        "retention": {
            "keep_snapshots_days": days(KEPT_SNAPSHOTS),
            "keep_replaced_files_h": days(KEPT_FILES) * 24,
            "keep_runs_days": days(KEPT_RUNS),
            "keep_model_versions": KEPT_BESIDE,
            "keep_deleted_days": days(KEPT_DELETED),
        },
    }
