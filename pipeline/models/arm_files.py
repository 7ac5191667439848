"""Fitted arms to files and back: skops for scikit-learn, safetensors for the language model.

Nothing here is unpickled. A skops file may hold only the types of `_TRUSTED` beside those that
skops itself knows.
"""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble._forest import BaseForest

from pipeline.arms.catalogue import ARMS
from pipeline.arms.gaussian_process import GaussianProcess, GaussianProcessLabels
from pipeline.arms.ladder import LANGUAGE_MODELS, MeanArm
from pipeline.arms.spelled import Spelled
from pipeline.errors import InputError
from pipeline.features.notations import Representation
from pipeline.lm.defaults import TrainingSettings
from pipeline.prompts.numbers import NumberFormat
from pipeline.prompts.templates import PromptTemplate

_TRUSTED = {
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "pipeline.arms.baselines.CharacterGrams",
    "pipeline.arms.baselines.ClassifierOverFeatures",
    "pipeline.arms.baselines.GroupedRidge",
    "pipeline.arms.baselines.RegressorOverFeatures",
    "pipeline.arms.baselines.TanimotoClassifier",
    "pipeline.arms.baselines.TanimotoRegressor",
    "pipeline.arms.baselines.SparseRidge",
    "pipeline.arms.baselines._SparseRidge",
    "pipeline.arms.baselines._by_similarity",
    "pipeline.arms.baselines._nothing",
    "pipeline.arms.compositions.CompositionGaussianProcess",
    "pipeline.arms.compositions.CompositionGaussianProcessLabels",
    "pipeline.arms.compositions.TwoPart",
    "pipeline.arms.message_passing.MessagePassingClassifier",
    "pipeline.arms.message_passing.MessagePassingRegressor",
    "pipeline.arms.pretrained.MinimolVectorLabels",
    "pipeline.arms.pretrained.MinimolVectors",
    "pipeline.arms.texts.WordGrams",
    "pipeline.features.compositions.element_shares",
    "pipeline.features.compositions.element_statistics",
    "pipeline.features.pretrained.minimol",
    "pipeline.features.structures.CleanDescriptors",
    "pipeline.features.structures.descriptors",
    "pipeline.features.structures.morgan_bits",
    "pipeline.features.structures.morgan_counts",
    "pipeline.arms.gaussian_process.GaussianProcess",
    "pipeline.arms.gaussian_process.GaussianProcessLabels",
    "pipeline.features.inputs.MoleculeFeatures",
    "pipeline.features.inputs.ReactionColumns",
    "pipeline.features.inputs.ReactionColumns.without",
    "pipeline.arms.reactions.PopularityClassifier",
    "pipeline.arms.reactions.PopularityRegressor",
    "pipeline.arms.reactions.ReactionFeatures",
    "pipeline.arms.reactions.ReactionGaussianProcess",
    "pipeline.arms.reactions.ReactionGaussianProcessLabels",
    "pipeline.arms.reactions.VaryingFeatures",
    "pipeline.arms.support_vectors.CountVectorLabels",
    "pipeline.arms.support_vectors.CountVectors",
    "pipeline.arms.support_vectors.SupportVectorLabels",
    "pipeline.arms.support_vectors.SupportVectors",
    "sklearn.tree._tree.Tree",
}
# What models name that were saved when these stood elsewhere.
_TRUSTED |= {name.replace("pipeline.features.structures", "pipeline.arms.features") for name in _TRUSTED}
_TRUSTED |= {name.replace("pipeline.features.inputs", "pipeline.arms.inputs") for name in _TRUSTED}


def write_arm(folder: Path, name: str, model: Any) -> dict[str, Any]:
    """Write a fitted arm below ``folder`` and return the description that `read_arm` needs."""
    if isinstance(model, MeanArm):
        members = {member: write_arm(folder, member, arm) for member, arm in model.members.items()}
        return {"members": members} | ({} if model.share is None else {"share": model.share})
    if isinstance(model, Spelled):
        parts = {}
        for number, (text, member) in enumerate(model.members.items()):
            (folder / f"notation-{number}").mkdir()
            parts[text] = write_arm(folder / f"notation-{number}", name, member)
        return {"spelled": parts, "seed": model.seed}
    if name in LANGUAGE_MODELS:
        return _write_language_model(folder, name, model)
    _write_skops(folder / f"{name}.skops", _slim(model))
    return {"skops": f"{name}.skops"}


@dataclass(frozen=True)
class ArmSetting:
    """What the parts of a model have in common; ``engine`` is called if one needs a language model."""

    task: str
    classes: tuple[str, ...]
    template: PromptTemplate
    engine: Callable[[], Any]


def read_arm(folder: Path, name: str, description: dict[str, Any], setting: ArmSetting) -> Any:
    """The arm that `write_arm` wrote."""
    if "members" in description:
        mean = MeanArm(
            {member: read_arm(folder, member, part, setting) for member, part in description["members"].items()},
            description.get("share"),
        )
        if setting.classes:
            mean.classes_ = np.array(setting.classes)
        return mean
    if "spelled" in description:
        members = {}
        for number, (text, part) in enumerate(description["spelled"].items()):
            template = replace(setting.template, symbols=Representation.of(text).has_symbols)
            own = replace(setting, template=template)
            members[text] = read_arm(folder / f"notation-{number}", name, part, own)
        spelled = Spelled(members, int(description["seed"]))
        if setting.classes:
            spelled.classes_ = np.array(setting.classes)
        return spelled
    if name not in LANGUAGE_MODELS:
        return _read_skops(folder / description["skops"])
    return _read_language_model(folder, name, description, setting)


def _slim(model: Any) -> Any:
    """A copy of an arm without what prediction does not use: half of a forest, n x n numbers of a Gaussian process."""
    if isinstance(model, GaussianProcess):
        model = copy.copy(model)
        model.__dict__.pop("factor_", None)
    elif isinstance(model, GaussianProcessLabels):
        model = copy.copy(model)
        model.members_ = [_slim(member) for member in model.members_]
    elif isinstance(getattr(model, "model_", None), BaseForest):
        model = copy.copy(model)
        model.model_ = copy.copy(model.model_)
        model.model_.estimators_ = [_slim_tree(estimator) for estimator in model.model_.estimators_]
    return model


def _slim_tree(estimator: Any) -> Any:
    """A tree that predicts the same bit for bit and compresses several times better.

    Features reach a tree as float32, so a threshold can be cut down to the next float32 below it.
    Impurities, row counts and the values of inner nodes are for looking at a tree, not for predicting.
    """
    slim = copy.copy(estimator)
    make, arguments, state = estimator.tree_.__reduce__()
    nodes, values = state["nodes"].copy(), state["values"].copy()
    inner = nodes["left_child"] != -1
    cut = nodes["threshold"].astype(np.float32)
    cut = np.where(cut > nodes["threshold"], np.nextafter(cut, np.float32(-np.inf)), cut)
    nodes["threshold"] = np.where(inner, cut, nodes["threshold"])
    for name in ("impurity", "n_node_samples", "weighted_n_node_samples"):
        nodes[name] = 0
    values[inner] = 0
    slim.tree_ = make(*arguments)
    slim.tree_.__setstate__({**state, "nodes": nodes, "values": values})
    return slim


def _write_skops(path: Path, model: Any) -> None:
    from skops.io import dumps

    path.write_bytes(dumps(model, compression=zipfile.ZIP_BZIP2))


def _read_skops(path: Path) -> Any:
    from skops.io import get_untrusted_types, loads

    data = path.read_bytes()
    strange = sorted(set(get_untrusted_types(data=data)) - _TRUSTED)
    if strange:
        raise InputError(f"{path}: holds a {strange[0]}, which no chemtune model does; the file is not loaded")
    return loads(data, trusted=sorted(_TRUSTED))


def _write_language_model(folder: Path, name: str, model: Any) -> dict[str, Any]:
    from safetensors.torch import save_file

    description: dict[str, Any] = {"shared": model.shared_}
    if name == "lm-frozen":
        _write_skops(folder / "lm-frozen.skops", model.model_)
        return {**description, "skops": "lm-frozen.skops"}
    description |= {"settings": asdict(model.settings_), "adapter": name}
    with model.with_adapters() as adapted:
        adapted.peft_config["default"].base_model_name_or_path = model.engine.name
        adapted.save_pretrained(str(folder / name), save_embedding_layers=False)
    (folder / name / "README.md").unlink(missing_ok=True)
    if hasattr(model, "head_"):
        tensors = {key: value.detach().cpu().contiguous() for key, value in model.head_.state_dict().items()}
        save_file(tensors, folder / name / "head.safetensors")
    if hasattr(model, "scale_"):
        description |= {"mean": model.mean_, "scale": model.scale_}
    elif hasattr(model, "format_"):
        kept = {"mean": model.centre_, "takes_median": model.takes_median_, "number_format": asdict(model.format_)}
        description |= kept
    return description


def _read_language_model(folder: Path, name: str, description: dict[str, Any], setting: ArmSetting) -> Any:
    from safetensors.torch import load_file

    from pipeline.lm.training import Head

    model = ARMS[name].builder()(setting.task, engine=setting.engine(), template=setting.template)
    model.shared_ = description["shared"]
    if setting.classes:
        model.classes_ = np.array(setting.classes)
    if name == "lm-frozen":
        model.model_ = _read_skops(folder / description["skops"])
        return model
    model.settings_ = TrainingSettings(**description["settings"])
    weights = load_file(folder / description["adapter"] / "adapter_model.safetensors")
    model.adapter_ = {_with_adapter_name(key): tensor for key, tensor in weights.items()}
    head = folder / description["adapter"] / "head.safetensors"
    if head.exists():
        tensors = load_file(head)
        model.head_ = Head(model.engine.model.config.hidden_size, len(tensors["linear.bias"]))
        model.head_.load_state_dict(model.head_.state_dict() | tensors)  # earlier formats: the mean, and no length
        model.head_.to(model.engine.device)
    if "scale" in description:
        model.mean_, model.scale_ = description["mean"], description["scale"]
    if "number_format" in description:
        model.format_ = NumberFormat(**description["number_format"])
        model.centre_, model.takes_median_ = description["mean"], description.get("takes_median", False)
    return model


def _with_adapter_name(key: str) -> str:
    """PEFT leaves the adapter's name out of its files: ``...lora_A.weight`` is ``...lora_A.default.weight``."""
    module, _, kind = key.rpartition(".")
    return f"{module}.default.{kind}"
