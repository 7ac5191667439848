"""Where `pipeline.features.inputs` stood: models that were saved then name it."""

from pipeline.features.inputs import MoleculeFeatures, ReactionColumns

__all__ = ["MoleculeFeatures", "ReactionColumns"]
