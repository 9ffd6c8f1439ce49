"""From a lake view or file to a float32 matrix with a contract that scoring repeats."""
