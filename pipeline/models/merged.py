"""The layers that an arm uses as a model of their own, the adapter in its weights."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pipeline.arms.ladder import TUNED, fitted_arms
from pipeline.errors import InputError
from pipeline.lm.weights import resolve
from pipeline.models.folder import describe_folder


def check_mergeable(arm: str) -> None:
    """Raise `InputError` unless the arm has an adapter that can be merged into the weights."""
    if not set(fitted_arms(arm)) & set(TUNED):
        raise InputError(f"{arm} has no adapter to merge; --merge is for lm-head, lm-text and blend")


def write_merged(folder: Path) -> list[Path]:
    """Write the layers of the base model that each language-model arm uses, its adapter merged into them, in fp32.

    Each stands below ``merged/``, a model that transformers loads as it is; the head of `lm-head` stays in
    its own file beside the adapter.

    Raises
    ------
    InputError
        If the model has no adapter.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from pipeline.lm.decoders import decoder_layers

    about = describe_folder(folder)
    check_mergeable(about["arm"])
    adapters = [folder / arm for arm in fitted_arms(about["arm"]) if arm in TUNED]
    source = resolve(about["language_model"]["model"])
    written = []
    for adapter in adapters:
        base = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
        decoder_layers(base.base_model, base.config, about["language_model"].get("depth"))
        target = folder / "merged" / adapter.name
        with tempfile.TemporaryDirectory(dir=folder) as work:
            PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(work)
            AutoTokenizer.from_pretrained(source).save_pretrained(work)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(work, target)
        written.append(target)
    return written
