"""Steps from training molecules along the directions that the data span, and across them."""
