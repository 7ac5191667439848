"""The questions that a run can ask: each has a plan of cells and a conclusion from their results."""
