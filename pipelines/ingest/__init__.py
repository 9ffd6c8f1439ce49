"""From sources to raw tables: rows and offsets commit together, what does not fit goes to quarantine."""
