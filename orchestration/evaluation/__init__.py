"""Whether a solution works: measured on the twin, whose truth nothing else of the platform may see."""
