"""Runs, versions, aliases, verdicts and model cards in MLflow."""
