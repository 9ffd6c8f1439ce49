"""Moving, backing up and restoring the stores of an instance: files and tables in bulk, verified by hashes."""
