"""Public data sets through the door that a user's table takes, beside what was published."""
