"""The assistant: questions answered by declared rules from rows that it read; no language model."""
