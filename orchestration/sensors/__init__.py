"""Sensors: each with a cursor, idempotent, and a tick far below two seconds."""
