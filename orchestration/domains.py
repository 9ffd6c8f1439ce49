"""The six data domains and what belongs to each: a failed check stops its own domain and what reads it."""

from __future__ import annotations

from typing import Final

DOMAINS: Final = ("material_inspection", "process", "test", "equipment", "energy", "planning")
"""In the order in which the nightly walks them; a mart reads only its own domain and those before it."""

KPI: Final = "kpi"
"""Has marts only: the facts that read all domains."""

OWN_TABLES: Final = "own_tables"
"""Solutions over a user's own file: no domain's checks stand before them."""

OWNERS: Final = {
    "material_inspection": "team:incoming-quality",
    "process": "team:process-engineering",
    "test": "team:cell-test",
    "equipment": "team:maintenance",
    "energy": "team:facility",
    "planning": "team:planning",
    KPI: "team:plant-management",
    OWN_TABLES: "team:data",
}
