"""The control plan: the single source of truth about a site, its steps, machines and characteristics."""
