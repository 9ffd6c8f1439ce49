"""Solutions that say what to do next: a module per kind, the logic in `pipelines.optimizers`."""
