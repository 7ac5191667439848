"""The comparison of arms on the same rows: what `chemtune run` does."""
