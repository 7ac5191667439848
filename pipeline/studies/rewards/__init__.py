"""Training a generator of conditions by rewards, and what of that is true."""
