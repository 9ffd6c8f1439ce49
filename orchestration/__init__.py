"""Everything Dagster, and the command line: the only package that knows the orchestrator."""
