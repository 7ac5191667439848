"""What settings are where nobody says otherwise, and what single ones may be."""

from __future__ import annotations

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_TEMPLATE = "What is the {property} of {molecule}{context}?"
REACTION_TEMPLATE = "What is the {property} of the reaction {reaction}{context}?"
COMPOSITION_TEMPLATE = "What is the {property} of {composition}{context}?"
TEXT_TEMPLATE = "What is the {property}{context} of the following? {text}\nAnswer:"
COMPONENTS_TEMPLATE = "What is the {property} of the reaction of {components}{context}?"
ATOMWISE, WHOLE = "atomwise", "model"
TOKENIZATIONS = (ATOMWISE, WHOLE)
AUTO, PLAIN = "auto", "plain"
STARTS = (AUTO, PLAIN)
