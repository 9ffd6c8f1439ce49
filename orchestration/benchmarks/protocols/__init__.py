"""Protocols: a module each, named as `kind` in the YAML, with its `Protocol` and one function `run`."""
