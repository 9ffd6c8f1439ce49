"""`migrate`, `backup` and `restore`: an instance whole, with what Dagster and MLflow keep."""
