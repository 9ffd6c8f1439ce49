"""Hold-out and inner folds: time-forward, grouped."""
