"""What a model says of one molecule that is written in several ways."""
