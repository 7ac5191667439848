"""Compare the fine-tuned language model with a classical baseline, fold by fold on the same rows."""

import pandas as pd
from chemtune import LoraRegressor, MolecularFeatures, MoleculeKFold
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from pipeline.tables.catalogue import card

table = pd.read_csv(card("freesolv").path).sample(120, random_state=0)
smiles, y = table["smiles"].to_numpy(), table[card("freesolv").target].to_numpy()

folds = MoleculeKFold(3)  # salts, tautomers and stereoisomers of a molecule stay in one fold
models = {
    "ridge on descriptors": make_pipeline(MolecularFeatures(("descriptors",)), RidgeCV([1, 10, 100])),
    "fine-tuned language model": LoraRegressor("hydration free energy", units="kcal/mol", steps=60),
}
for name, model in models.items():
    found = cross_validate(model, smiles, y, cv=folds, scoring="neg_mean_absolute_error", error_score="raise")
    errors = ", ".join(f"{-score:.2f}" for score in found["test_score"])
    print(f"{name}: MAE {errors} kcal/mol, {found['fit_time'].sum():.0f} s")
