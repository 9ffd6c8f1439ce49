"""Families of digital solutions: one Dagster Component class each, registered for `dg`."""

from orchestration.components.anomaly_detector import AnomalyDetector
from orchestration.components.assistant import Assistant
from orchestration.components.decision_rule import DecisionRule
from orchestration.components.forecast import Forecast
from orchestration.components.indicator import Indicator
from orchestration.components.optimizer import Optimizer
from orchestration.components.predictive_model import PredictiveModel
from orchestration.components.process_monitor import ProcessMonitor
from orchestration.components.survival_model import SurvivalModel
from orchestration.components.traceability import Traceability

__all__ = [
    "AnomalyDetector",
    "Assistant",
    "DecisionRule",
    "Forecast",
    "Indicator",
    "Optimizer",
    "PredictiveModel",
    "ProcessMonitor",
    "SurvivalModel",
    "Traceability",
]
