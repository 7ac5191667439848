"""A fitted model as a folder: writing, reading, its card, and what it says of new molecules."""
