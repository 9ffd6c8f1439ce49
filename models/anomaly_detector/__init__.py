"""The family of anomaly detectors: what departs from its own past or its like, within a budget of alarms."""
