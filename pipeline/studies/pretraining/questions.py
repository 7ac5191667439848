"""What the study asks: pairs of starts that differ in one thing, and what the answers mean."""

from __future__ import annotations

from pipeline.studies.pretraining.starts import (
    DESCRIPTORS,
    FROM_RANDOM,
    FROZEN,
    FROZEN_RANDOM,
    PRETRAINED,
    SHUFFLED_EMBEDDINGS,
    SHUFFLED_LAYERS,
    SHUFFLED_SYMBOLS,
)

# What it means that the first does better than the second, that it does worse, and that neither was shown.
QUESTIONS = (
    (PRETRAINED, FROM_RANDOM, "Pretraining helps", "Pretraining harms", "Pretraining was not shown to help"),
    (
        PRETRAINED,
        SHUFFLED_EMBEDDINGS,
        "What the tokens mean helps",
        "Tokens of other meanings do better",
        "What the tokens mean was not shown to help",
    ),
    (
        PRETRAINED,
        SHUFFLED_LAYERS,
        "The order of the layers helps",
        "Layers in another order do better",
        "The order of the layers was not shown to help",
    ),
    (
        PRETRAINED,
        SHUFFLED_SYMBOLS,
        "It reads the order of the symbols",
        "Symbols in any order do better",
        "It was not shown to read the order of the symbols",
    ),
    (PRETRAINED, FROZEN, "Tuning layers helps", "Tuning layers harms", "Tuning layers was not shown to help"),
    (
        FROZEN,
        FROZEN_RANDOM,
        "Untuned, the published weights say more than random ones",
        "Untuned, random weights say more than the published ones",
        "Untuned, the published weights were not shown to say more than random ones",
    ),
    (
        DESCRIPTORS,
        PRETRAINED,
        "Learning descriptors first helps",
        "Learning descriptors first harms",
        "Learning descriptors first was not shown to help",
    ),
    (
        PRETRAINED,
        "ngram-ridge",
        "It does better than counts of character n-grams",
        "It does worse than counts of character n-grams",
        "It was not told apart from counts of character n-grams",
    ),
)
