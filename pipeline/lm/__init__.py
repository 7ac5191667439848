"""The engine under the language-model arms: weights, encoding, training, scoring."""
