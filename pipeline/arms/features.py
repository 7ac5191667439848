"""Where `pipeline.features.structures` stood: models that were saved then name it."""

from pipeline.features.structures import CleanDescriptors, descriptors, morgan_bits, morgan_counts

__all__ = ["CleanDescriptors", "descriptors", "morgan_bits", "morgan_counts"]
