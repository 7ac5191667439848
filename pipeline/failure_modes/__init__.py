"""What goes wrong, and when: one file per experiment."""
