"""Process monitors: what is usual is learnt on a reference, and rows that leave it are told with the variables."""
