"""From a raw target column to what a learner fits."""
