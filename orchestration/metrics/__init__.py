"""Figures of a running plant for Prometheus: read at the scrape from lake, runs and registry, never written."""
