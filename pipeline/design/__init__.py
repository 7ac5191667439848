"""Designing molecules with a wanted property, and checking them by a truth that can be computed."""
