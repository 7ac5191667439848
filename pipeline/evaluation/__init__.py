"""Metrics, intervals, paired comparison, and the verdict made from them."""
