"""Solution packs: how a practice goes from one site to another, without data and without models."""
