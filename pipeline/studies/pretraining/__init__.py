"""What a language model has learned before the first label: the same training from weights that lack one thing each."""
