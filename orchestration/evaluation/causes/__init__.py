"""Faults for tables whose rows are neither cells nor hours of a machine: a module for each table."""
