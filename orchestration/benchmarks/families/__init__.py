"""Families that learn on some rows and are judged on others, each in a module with one function `judge`."""
