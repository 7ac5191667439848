"""Whether a model learns the label or the source: what the structure gives away of where a row comes from."""
