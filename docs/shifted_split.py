"""The same model on random and on scaffold folds: how much does it lose on ring systems it has not seen?"""

import pandas as pd
from chemtune import LoraRegressor, MolecularFeatures, MoleculeKFold, ScaffoldKFold
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from pipeline.tables.catalogue import card

table = pd.read_csv(card("photoswitch").path).sample(90, random_state=0)
smiles, y = table["smiles"].to_numpy(), table[card("photoswitch").target].to_numpy()

models = {
    "ridge on descriptors": make_pipeline(MolecularFeatures(("descriptors",)), RidgeCV([1, 10, 100])),
    "fine-tuned language model": LoraRegressor("transition wavelength", units="nm", steps=40),
}
for name, model in models.items():
    for folds in (MoleculeKFold(2), ScaffoldKFold(2)):
        scores = cross_val_score(model, smiles, y, cv=folds, scoring="neg_mean_absolute_error", error_score="raise")
        print(f"{name}, {type(folds).__name__}: MAE {-scores.mean():.1f} nm (mean of {len(scores)} folds)")
