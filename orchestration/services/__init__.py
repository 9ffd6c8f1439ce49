"""The servers of one machine, without containers: which there are, how each is started, watched and stopped."""
