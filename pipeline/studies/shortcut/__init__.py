"""How far a model relies on a marker that goes with high labels in training, and how wrong it is where that turns."""
