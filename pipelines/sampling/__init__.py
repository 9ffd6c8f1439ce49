"""Sampling inspection: which plan a lot is judged by, what the plan lets through, and when to inspect more or less."""
