"""Plans by kind: from published tables to a solver's problem, and from its plan to answers for items."""
