"""Units of work as plain data: what they depend on, where their results are kept, and who computes them."""
