"""CSV to table: reading, molecules, targets, cleaning, auditing and the built-in tables."""
