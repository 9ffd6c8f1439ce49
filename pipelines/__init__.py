"""Data in motion without Dagster: lake, ingestion, control plan, curation, actions, the plant twin."""
