"""The search: both libraries in one seeded study."""
