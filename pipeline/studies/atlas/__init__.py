"""All failure modes of one table on one page."""
