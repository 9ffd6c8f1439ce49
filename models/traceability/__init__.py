"""Traceability: what a thing was made of, what it went into, and the passport that says so; nothing is learnt."""
