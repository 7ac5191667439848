"""Row to text and back: templates, how numbers and classes are written, and how they are read."""
