"""Remaining life: how long until the event, for what is still in use and for what has failed."""
