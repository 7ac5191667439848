"""Generate conditions for held-out reactions, filter them by models that check, and look the truth up."""
