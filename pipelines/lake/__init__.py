"""The lake: where it is, how to open it, who may write, what is published, what may be forgotten."""
