"""What to do next, as arithmetic: controllers and searches over arrays, without lake, models or Dagster."""
