"""Fine-tune the language model on a table, take it home in a folder, and use it again."""

import tempfile
from pathlib import Path

import pandas as pd
from chemtune import LoraRegressor, load

from pipeline.tables.catalogue import card

table = pd.read_csv(card("freesolv").path).sample(120, random_state=0)
train, new = table[:100], table[100:]

# 60 steps keep this example short; leave the argument out and they follow from the number of rows.
model = LoraRegressor(property_name="hydration free energy", units="kcal/mol", steps=60)
model.fit(train["smiles"], train[card("freesolv").target])

with tempfile.TemporaryDirectory() as folder:
    model.save(Path(folder) / "hydration")
    again = load(Path(folder) / "hydration")

frame = pd.DataFrame({"smiles": new["smiles"].to_numpy()})
print(again.describe(frame)[["prediction", "nearest_training_molecule", "similarity", "in_domain"]].head())
