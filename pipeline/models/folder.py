"""A fitted model and the folder it lives in."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import MeanArm, class_chances, engines, mean_of
from pipeline.cells.cell import versions
from pipeline.defaults import WHOLE
from pipeline.errors import InputError
from pipeline.evaluation.domain import Domain
from pipeline.evaluation.intervals import (
    DEFAULT_LEVEL,
    DISTANCE,
    ONE_RADIUS,
    SPREAD,
    adaptive_radius,
    at_temperature,
    conformal_radius,
    within,
)
from pipeline.evaluation.thresholds import answers
from pipeline.features.inputs import (
    ReactionInput,
    as_frame,
    canonical_frame,
    identities_of,
    in_known_spelling,
    smiles_if_mol,
)
from pipeline.features.structures import forget_features
from pipeline.files import sha256, write_atomically
from pipeline.lm.engine import shared_engine
from pipeline.lm.weights import weights_identity
from pipeline.models.about import prompt_template
from pipeline.models.arm_files import ArmSetting, read_arm, write_arm
from pipeline.models.card import model_card, rows_are
from pipeline.models.conditions import Conditions
from pipeline.tables.kinds import KINDS, Kind
from pipeline.tables.measurements import REFUSE
from pipeline.tables.scales import IN_PERCENT, Scale
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import CLASSES

# 2: the scale on which a number is modelled; 4: reactions; 5: intervals that adapt; 6: other kinds of rows, notations,
# thresholds between classes; 7: temperatures of probabilities, groups of residuals.
FORMAT = 7
_DIFFICULTY = "difficulty/"  # and the name of the signal, in training.safetensors
_GROUPS = "residuals/groups"
_DESCRIPTION = "model.json"
_NEEDED = (  # of the description, in every format
    *("arm", "task", "classes", "target", "property_name", "units", "smiles", "context", "largest_fragment"),
    *("template", "language_model", "n_train", "seed", "data", "versions", "calibration", "scores", "domain", "parts"),
)


@dataclass
class SavedModel:
    """A fitted arm with what is needed to use it honestly on new molecules.

    ``about`` is what `model.json` says; ``residuals`` are truth minus
    prediction on rows that the model was not trained on, empty where there are none, and
    ``difficulty`` says by name of a signal how difficult each of them was; those of variants of one structure share a
    number in ``groups``, which models of earlier formats do not have.
    """

    arm: Any
    about: dict[str, Any]
    domain: Domain
    residuals: np.ndarray
    difficulty: dict[str, np.ndarray] = field(default_factory=dict)
    groups: np.ndarray | None = None

    @property
    def task(self) -> str:
        return str(self.about["task"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.about["classes"])

    @property
    def context(self) -> tuple[str, ...]:
        return tuple(self.about["context"])

    @property
    def scale(self) -> Scale:
        return Scale(**self.about["scale"])

    @property
    def reactions(self) -> ReactionInput | None:
        """How reactions are read; None for molecules."""
        return ReactionInput.stored(self.about["reactions"])

    @property
    def conditions(self) -> Conditions:
        """What training has seen beside the structures."""
        return Conditions.stored(self.about.get("conditions", {}))

    @property
    def kind(self) -> Kind:
        """What a row is."""
        return KINDS[rows_are(self.about)]

    @property
    def rows_are(self) -> str:
        return self.kind.name

    def _inputs(self, X: Any) -> pd.DataFrame:
        """What a user gives as what an arm is given: canonical structures (of training rows as these had them),
        components, and the model's context."""
        reactions = self.reactions
        if reactions:
            frame = X.copy() if isinstance(X, pd.DataFrame) else as_frame(X).set_axis([reactions.columns[0]], axis=1)
            if not len(frame):
                raise ValueError("X is empty; expected one reaction or more")
            for column in frame.columns.intersection(reactions.columns):
                frame[column] = pd.Series(map(smiles_if_mol, frame[column]), index=frame.index, dtype=object)
            return self.conditions.frame(reactions.frame(frame, self.context))
        frame = canonical_frame(X, self.about["largest_fragment"], self.kind)
        if self.domain.known:
            frame = in_known_spelling(frame, identities_of(frame, self.kind), self.domain.known)
        beside = frame.iloc[:, 1:]
        missing = [column for column in self.context if column not in beside]
        if missing:
            raise ValueError(
                f"X has no column {missing[0]!r}; the model reads a data frame of {self.kind} and, beside them, "
                f"{', '.join(self.context)}"
            )
        made = pd.DataFrame({STRUCTURE: frame.iloc[:, 0]})
        return self.conditions.frame(made.assign(**{column: beside[column] for column in self.context}))

    def predict(self, X: Any) -> np.ndarray:
        """Predicted values (in the units of the training column) or classes of SMILES. Shape (n,).

        Parameters
        ----------
        X : sequence of str or RDKit Mol, or DataFrame
            SMILES; where the model has context columns, a data frame with SMILES in the first column and these beside
            them. For reactions a data frame with the columns of the training table, or a sequence of reaction SMILES
            where these are all.

        Raises
        ------
        ValueError
            For no molecule at all, for what is no molecule, naming its position, and for a column that is missing.
        """
        if self.classes and self._threshold:
            return self._answers(class_chances(self.arm, self.classes, self._inputs(X)))
        found = self.arm.predict(self._inputs(X))
        return found if self.classes else self.scale.back(found)

    @property
    def _threshold(self) -> dict[str, Any]:
        """Of two classes the one that is the answer from a probability on; empty where the more probable one is."""
        return dict(self.about["calibration"].get("threshold", {}))

    def _calibrated(self, chances: np.ndarray) -> np.ndarray:
        """The arm's probabilities at the temperature that held-out rows asked for; as they are where there is none, as
        in models of earlier formats. Shape (n, classes)."""
        heat = self.about["calibration"].get("temperature", {}).get("value")
        return chances if heat is None else at_temperature(chances, heat)

    def _answers(self, chances: np.ndarray) -> np.ndarray:
        """The class of each row of the arm's probabilities. Shape (n,)."""
        cut = self._threshold
        if cut:
            return answers(self._calibrated(chances), self.classes, cut["positive"], cut["value"])
        return np.array(self.classes, dtype=object)[chances.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities in the order of ``classes``, calibrated on held-out rows where the model's card says so.
        Shape (n, classes)."""
        return self._calibrated(class_chances(self.arm, self.classes, self._inputs(X)))

    def describe(self, X: Any, level: float = DEFAULT_LEVEL) -> pd.DataFrame:
        """All that is said of each molecule: prediction, bounds or probabilities, nearest neighbour, domain.

        Numbers are in the units of the training column; where they were modelled on another scale, a
        column named by the transform holds the modelled value.

        Parameters
        ----------
        X : sequence of str or RDKit Mol, or DataFrame
            As `predict` takes it.
        level : float
            Coverage asked of the interval.

        Returns
        -------
        DataFrame
            One row for each of ``X``, under its index if it has one.
        """
        return self.describe_canonical(self._inputs(X), level)

    def describe_canonical(self, X: pd.DataFrame, level: float = DEFAULT_LEVEL) -> pd.DataFrame:
        """`describe` of what was made canonical before: structures in the first column (of training rows as
        `Domain.known` has them), then a reaction's components, then the context columns."""
        smiles = [str(text) for text in X.iloc[:, 0]]
        similarity, index = self.domain.nearest(smiles)
        if self.task == CLASSES:
            chances = class_chances(self.arm, self.classes, X)
            found: dict[str, Any] = {"prediction": self._answers(chances)}
            calibrated = self._calibrated(chances)
            found |= {f"p_{label}": calibrated[:, column] for column, label in enumerate(self.classes)}
        else:
            modelled, spread = prediction_and_spread(self.arm, X)
            radius = self._half_widths({DISTANCE: 1 - similarity, SPREAD: spread}, level)
            possible = self.about["possible"] or (-np.inf, np.inf)
            ends = [self.scale.back(within(modelled + side * radius, possible, modelled)) for side in (-1, 1)]
            lower, upper = ends[::-1] if self.scale.decreasing else ends
            found = {"prediction": self.scale.back(modelled), "lower": lower, "upper": upper}
            if self.scale.transform:
                found[self.scale.transform] = modelled
        nearest = found[self.nearest_column] = [self.domain.smiles[position] for position in index]
        found["similarity"] = similarity
        notes = self._domain_notes(X, similarity)
        found["in_training"] = np.array(
            [text == near and not note for text, near, note in zip(smiles, nearest, notes, strict=True)], dtype=bool
        )
        found["in_domain"] = np.array([not note for note in notes], dtype=bool)
        found["domain_note"] = notes
        return pd.DataFrame(found, index=X.index)

    def _domain_notes(self, X: pd.DataFrame, similarity: np.ndarray) -> list[str]:
        """Why each row lies outside of the model's domain, in words; empty where it does not."""
        one, least, conditions = self.rows_are.removesuffix("s"), self.domain.threshold, self.conditions
        notes = []
        for row, alike in zip(X.to_dict("records"), similarity, strict=True):
            said = conditions.unlike_training({str(name): cell for name, cell in row.items()})
            if alike < least:
                said.insert(0, f"no training {one} is more similar than {alike:.2f} ({least:.2f} is needed)")
            elif not alike:  # where so many training rows are alone that the quantile of their similarities is 0
                said.insert(0, f"no training {one} is similar at all")
            notes.append("; ".join(said))
        return notes

    def _half_widths(self, difficulty: dict[str, np.ndarray], level: float) -> np.ndarray | float:
        """As the calibration says: one for all, or by the difficulty, shape (n,).

        Beyond the most difficult of the held-out rows they grow no further. NaN where there are too few residuals for
        the level: no bound is known.
        """
        signal = self.about["calibration"].get("interval", ONE_RADIUS).removeprefix("by ")
        if signal in self.difficulty:
            radius = adaptive_radius(self.residuals, self.difficulty[signal], difficulty[signal], level, self.groups)
            return np.where(np.isfinite(radius), radius, np.nan)
        one = conformal_radius(self.residuals, level)
        return one if np.isfinite(one) else np.nan

    def forget(self) -> None:
        """Empty the caches of features and activations, for streams of molecules that never come again."""
        forget_features()
        for engine in engines(self.arm):
            engine.forget()

    @property
    def nearest_column(self) -> str:
        return f"nearest_training_{self.rows_are.removesuffix('s')}"

    def columns(self) -> list[str]:
        """The columns that `describe` gives."""
        own = [f"p_{label}" for label in self.classes] if self.task == CLASSES else ["lower", "upper"]
        own += [self.scale.transform] if self.scale.transform else []
        return ["prediction", *own, self.nearest_column, "similarity", "in_training", "in_domain", "domain_note"]

    def save(self, folder: Path) -> None:
        """Write the model as a folder, all of it or nothing.

        Raises
        ------
        InputError
            If the folder holds something that is not a chemtune model.
        """
        if folder.exists() and any(folder.iterdir()) and not (folder / _DESCRIPTION).exists():
            raise InputError(f"{folder}: is there and is not a chemtune model; give another folder with --out")
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            self._write(work)
            if folder.exists():
                shutil.rmtree(folder)
            work.chmod(0o755)
            work.replace(folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise

    def _write(self, work: Path) -> None:
        from safetensors.numpy import save_file

        parts = write_arm(work, self.about["arm"], self.arm)
        difficulty = {f"{_DIFFICULTY}{name}": values for name, values in self.difficulty.items()}
        grouped = {} if self.groups is None else {_GROUPS: self.groups}
        arrays = {"bits": self.domain.bits, "residuals": self.residuals, **difficulty, **grouped}
        save_file(arrays, work / "training.safetensors")
        training = pd.DataFrame({"smiles": self.domain.smiles})
        if self.domain.identities:
            training["identity"] = self.domain.identities
        training.to_parquet(work / "training.parquet", index=False)
        about = {
            "format": FORMAT,
            **self.about,
            "domain": {"threshold": self.domain.threshold, "training_molecules": len(self.domain.smiles)},
            "parts": parts,
        }
        files = sorted(path for path in work.rglob("*") if path.is_file())
        about["files"] = {path.relative_to(work).as_posix(): sha256(path) for path in files}
        write_atomically(work / "README.md", model_card(about, sum(path.stat().st_size for path in files)))
        for path in files:
            path.chmod(0o644)
        write_atomically(work / _DESCRIPTION, json.dumps(about, indent=1, ensure_ascii=False))


def describe_folder(folder: Path) -> dict[str, Any]:
    """``model.json`` of a model folder whose files are all there and as they were written.

    Raises
    ------
    InputError
        If it is not a model folder, was cut short or changed, or was made by a newer chemtune.
    """
    path = folder / _DESCRIPTION
    if not path.exists():
        below = sorted(part.parent for part in folder.glob(f"*/{_DESCRIPTION}"))
        if below:
            raise InputError(f"{folder}: holds several models; give one of them: {', '.join(map(str, below))}")
        raise InputError(f"{folder}: not a chemtune model (there is no {_DESCRIPTION}); make one with chemtune fit")
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        made_by, files = int(about["format"]), dict(about["files"])
        missing = [name for name in _NEEDED if name not in about]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}: {error}); fit the model again") from error
    if made_by > FORMAT:
        raise InputError(
            f"{folder}: made by chemtune {about.get('versions', {}).get('chemtune', 'of a later version')} in format "
            f"{made_by}; this chemtune reads up to format {FORMAT}: update chemtune"
        )
    if missing:
        raise InputError(f"{path}: incomplete, there is no {', '.join(missing)}; copy the whole folder again")
    for name, expected in files.items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path}: names a file outside of the folder ({name!r}); the model is not loaded")
        if not file.is_file():
            raise InputError(f"{folder}: the file {name} is missing; copy the whole folder again")
        if sha256(file) != expected:
            raise InputError(f"{folder}: the file {name} is not the one that was saved; copy the whole folder again")
    # What earlier formats did not know: numbers are modelled as they are, molecules (there were no reactions) cut as
    # the tokenizer has it. Fractions of 1 that are modelled in percent can only be yields.
    of_fractions = about.get("scale", {}).get("transform") == IN_PERCENT
    earlier = {
        "scale": {"transform": "", "units": about.get("units", "")},
        "possible": [0.0, 100.0] if of_fractions else [],
        "bounds": {"use": REFUSE, "n": 0},
        "tokenization": WHOLE,
        "reactions": {},
        "conditions": {},
    }
    return earlier | about


def load_model(folder: Path) -> SavedModel:
    """Load a model folder.

    Raises
    ------
    InputError
        As `describe_folder`, and if the base weights are not those the adapter was trained on.
    """
    from safetensors.numpy import load_file

    about = describe_folder(folder)
    try:
        arrays = load_file(folder / "training.safetensors")
        training = pd.read_parquet(folder / "training.parquet")
        threshold, identities = float(about["domain"]["threshold"]), tuple(training.get("identity", ()))
        domain = Domain(tuple(training["smiles"]), arrays["bits"], threshold, KINDS[rows_are(about)], identities)
        setting = ArmSetting(
            about["task"],
            tuple(about["classes"]),
            prompt_template(about),
            lambda: load_engine(about["language_model"], folder),
        )
        arm = read_arm(folder, about["arm"], about["parts"], setting)
    except (KeyError, TypeError, OSError) as error:
        raise InputError(f"{folder}: cannot be read as a model ({type(error).__name__}: {error})") from error
    kept = {key: value for key, value in about.items() if key not in ("format", "domain", "parts")}
    difficulty = {
        name.removeprefix(_DIFFICULTY): values for name, values in arrays.items() if name.startswith(_DIFFICULTY)
    }
    return SavedModel(arm, kept, domain, arrays["residuals"], difficulty, arrays.get(_GROUPS))


def prediction_and_spread(arm: Any, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Predictions, and the standard deviation over the members of a mean (zero for another arm). Shapes (n,)."""
    if not isinstance(arm, MeanArm):
        modelled = arm.predict(X)
        return modelled, np.zeros(len(modelled))
    members = [member.predict(X) for member in arm.members.values()]
    return mean_of(members, arm.share), np.std(np.stack(members), axis=0)


def load_engine(wanted: dict[str, Any], folder: Path | str) -> Any:
    """The engine of a base model, loaded once per process and checked against the weights it was trained on."""
    if weights_identity(wanted["model"]) != wanted["weights"]:
        raise InputError(
            f"{folder}: was trained on other weights than those of {wanted['model']} on this machine; "
            "put the original base model there"
        )
    return shared_engine(wanted["model"], wanted["trained_layers"], wanted["dtype"], wanted.get("depth"))


def changed_versions(about: dict[str, Any]) -> list[str]:
    """Packages whose version here is not the one the model was made with, in words."""
    here = versions()
    return [
        f"{package} {version} (here {here[package]})"
        for package, version in about["versions"].items()
        if package in here and here[package] != version
    ]
