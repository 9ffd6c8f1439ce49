"""Protocols, a module each: its name is the `kind` in the YAML, its `Protocol` says how the data set is run."""
