"""What `dg scaffold defs` writes for a new solution: every attribute that has no default, ready to be changed."""

from __future__ import annotations

from typing import Any

import dagster as dg


class PredictiveModelScaffolder(dg.Scaffolder):
    """Writes a `defs.yaml` that `dg check yaml` accepts; its target names no column yet, as the first night says."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write the file."""
        attributes = {
            "question": "What will be known of each cell only later?",
            "entity": "cell",
            "table": "marts.cell_at_formation",
            "keys": ["cell_id"],
            "acts_at": "formation",
            "features": {"exclude": ["*_id", "*_at", "production_day"]},
            "target": {"column": "name_the_column"},
            "task": "regression",
            "action": {"kind": "report"},
        }
        dg.scaffold_component(request, attributes)
