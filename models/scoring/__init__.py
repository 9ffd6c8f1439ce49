"""Predictions written to the lake, by the code that travels with the model."""
