"""Families of digital solutions: one Dagster Component class each, registered for `dg`."""

from orchestration.components.anomaly_detector import AnomalyDetector
from orchestration.components.predictive_model import PredictiveModel

__all__ = ["AnomalyDetector", "PredictiveModel"]
