"""What the runs of all studies have in common: preparing, fitting, budget, certainty, the folder."""
