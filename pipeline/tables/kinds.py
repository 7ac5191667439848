"""What a row of a table can be."""

from __future__ import annotations

MOLECULES, REACTIONS = "molecules", "reactions"
