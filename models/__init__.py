"""Machine learning without Dagster: features, training, gates, registry, scoring, drift."""
