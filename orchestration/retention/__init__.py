"""What an instance forgets by the site's policy: versions, training runs, Dagster's runs, snapshots."""
