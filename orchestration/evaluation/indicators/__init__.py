"""Figures of indicators worked out again by other means than the engine's SQL: a module for each kind."""
