"""What an installation needs to run, looked at without changing anything."""
