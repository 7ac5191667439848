"""Oracles: what computes the true value of any molecule, rather than predicting it from others."""
