"""What `dg scaffold defs` writes for a new solution: every attribute that has no default, ready to be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import dagster as dg

_ENTITY: Mapping[str, Any] = {
    "entity": "cell",
    "table": "marts.cell_at_formation",
    "keys": ["cell_id"],
    "acts_at": "formation",
    "features": {"exclude": ["*_id", "*_at", "production_day"]},
}


class SolutionScaffolder(dg.Scaffolder):
    """Writes a `defs.yaml` that `dg check yaml` accepts; columns to be named yet are told by the first night."""

    attributes: ClassVar[Mapping[str, Any]]

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write the file."""
        dg.scaffold_component(request, dict(self.attributes))


class PredictiveModelScaffolder(SolutionScaffolder):
    """A prediction per cell; its target names no column yet."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "What will be known of each cell only later?",
        **_ENTITY,
        "target": {"column": "name_the_column"},
        "task": "regression",
        "action": {"kind": "report"},
    }


class ProcessMonitorScaffolder(SolutionScaffolder):
    """A monitor of a machine's hours; its reference is the earlier half of them until another one is named."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "Which machine leaves what is usual?",
        "entity": "machine_hour",
        "table": "marts.machine_hour",
        "keys": ["machine_id", "hour_at"],
        "time": "hour_at",
        "group": "machine_id",
        "max_gap_s": 3600,
        "features": {"select": ["name_the_columns_*"]},
        "reference": {"share": 0.5},
        "persistence": 3,
        "action": {"kind": "report"},
    }


class SurvivalModelScaffolder(SolutionScaffolder):
    """The remaining life of machines; its target names no column yet."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "How long until it fails?",
        "entity": "machine_hour",
        "table": "marts.machine_hour",
        "keys": ["machine_id", "hour_at"],
        "target": {"column": "name_the_column", "event": "name_the_column_of_the_event", "horizon": 24},
        "split": {"group": "name_the_column_of_the_life"},
        "action": {"kind": "report"},
    }


class AnomalyDetectorScaffolder(SolutionScaffolder):
    """The figures of a cell's formation, judged together."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "Which cells are unlike the others?",
        "entity": "cell",
        "table": "marts.cell_at_ageing",
        "keys": ["cell_id"],
        "acts_at": "ageing",
        "features": {"select": ["charge_capacity_ah", "first_cycle_efficiency_pct", "formation_resistance_mohm"]},
        "time": "entered_at",
        "alarms": {"per_week": 50, "hold_off_h": 0},
        "action": {"kind": "report"},
    }


class ForecastScaffolder(SolutionScaffolder):
    """What each meter uses over the next day; its target names no column yet."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "What will each meter use over the next day?",
        "entity": "meter_hour",
        "table": "marts.energy_hour",
        "keys": ["meter_id", "hour_at"],
        "series": ["meter_id"],
        "time": "hour_at",
        "known_at": "known_at",
        "target": "name_the_column",
        "step_h": 1,
        "season": 24,
        "horizon": 24,
        "action": {"kind": "report"},
    }


class DecisionRuleScaffolder(SolutionScaffolder):
    """Cells beside those of their tray; another kind of rule takes the place of `screen`."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "Which cells are unlike those beside them?",
        "entity": "cell",
        "table": "marts.cell_at_grading",
        "keys": ["cell_id"],
        "acts_at": "grading",
        "time": "entered_at",
        "screen": {"column": "name_the_column", "group": ["ageing_tray_id"]},
    }


class OptimizerScaffolder(SolutionScaffolder):
    """A coater's pump that holds the weight of what is coated."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "What should the set-point of the next run be?",
        "entity": "machine",
        "table": "marts.mother_roll",
        "keys": ["coater_id", "mother_roll_id"],
        "optimizer": {
            "kind": "run_to_run",
            "hold": "areal_weight_g_m2",
            "by": "pump_speed_ratio_pct",
            "variant": "electrode_code",
            "ran_at": "ended_at",
            "known_at": "mes__mother_roll_known_at",
            "dead_time_s": 2400,
        },
        "action": {"kind": "report"},
    }


class IndicatorScaffolder(SolutionScaffolder):
    """The loss tree of machines by shift, from PackML states."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "Where is machine time lost?",
        "entity": "machine",
        "table": "marts.machine_state",
        "keys": ["machine_id", "production_day"],
        "indicator": {
            "kind": "oee",
            "only": "is_in_oee",
            "elements": {
                "production": ["Execute"],
                "delay": ["Held", "Suspended", "Aborted"],
                "down": ["Idle"],
                "planned_stop": ["Stopped"],
            },
            "failures": ["Aborted"],
        },
        "action": {"kind": "report"},
    }


class TraceabilityScaffolder(SolutionScaffolder):
    """Modules down to the lots that were bought for their cells' housing."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "What is each module made of?",
        "entity": "module",
        "table": "staging.stg_tester__module",
        "keys": ["module_id"],
        "time": "event_at",
        "records": [
            {
                "kind": "material_lot",
                "table": "marts.material_lot",
                "key": "material_lot_id",
                "tells": ["material_code", "supplier_code"],
            },
            {
                "kind": "cell",
                "table": "staging.stg_mes__assembly",
                "key": "cell_id",
                "made_of": [{"kind": "material_lot", "column": "can_lot_id"}],
            },
            {
                "kind": "module",
                "table": "staging.stg_mes__module",
                "key": "module_id",
                "made_of": [{"kind": "cell", "column": "cell_id"}],
            },
        ],
        "passport": {"of": "module", "parts": ["cell"], "materials": ["can"]},
        "action": {"kind": "report"},
    }


class AssistantScaffolder(SolutionScaffolder):
    """A machine's figures of a day, to be asked for, and reported each night."""

    attributes: ClassVar[Mapping[str, Any]] = {
        "question": "How did each machine do?",
        "entity": "day",
        "table": "marts.machine_state_day",
        "keys": ["production_day", "topic_code", "sentence_no"],
        "entities": {
            "machine": {"table": "marts.machine_state_day", "column": "machine_id"},
            "day": {"table": "marts.machine_state_day", "column": "production_day", "is_day": True},
        },
        "topics": [
            {
                "topic": "output",
                "asks": ["how much was made", "what was the output"],
                "lacks": "a machine that made anything on that day",
                "answers": [
                    {
                        "read": (
                            "SELECT machine_id, production_day, produced_count FROM marts.machine_state_day "
                            "WHERE production_day = coalesce($day, "
                            "(SELECT max(production_day) FROM marts.machine_state_day)) "
                            "AND produced_count > 0 ORDER BY machine_id"
                        ),
                        "says": "{machine_id} made {produced_count:,.0f} on {production_day}.",
                        "cites": [
                            {
                                "table": "marts.machine_state_day",
                                "where": {"machine_id": "machine_id", "production_day": "production_day"},
                                "tells": ["produced_count"],
                            }
                        ],
                        "rows": 20,
                    }
                ],
            }
        ],
        "report": {"by": {"day": "production_day"}, "until": "known_at", "topics": ["output"]},
        "action": {"kind": "report"},
    }
