"""Who acts, whether they may, and the record of it that nobody can change unseen."""
