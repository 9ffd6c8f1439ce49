"""Which features matter, and why one prediction came out as it did."""
