"""New molecules for a wanted value, without a language model: what is wanted, what is allowed, how to get there."""
