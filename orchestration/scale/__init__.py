"""How sizes grow: the same work with one line, three and ten, each stage measured, and what follows for more."""
