"""The cellworks command line; Dagster is imported only inside commands."""
