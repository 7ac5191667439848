"""The package can be imported by its own name, and completes its public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pipeline


def test_chemtune_has_all_public_names():
    import chemtune

    assert chemtune.__version__ == pipeline.__version__
    assert set(dir(chemtune)) == {*pipeline.__all__, "__version__"}
    for name in pipeline.__all__:
        assert getattr(chemtune, name) is getattr(pipeline, name)
    assert set(pipeline.__all__) <= set(dir(pipeline))
    with pytest.raises(AttributeError, match="module 'chemtune' has no attribute 'LoraRegresor'; it has Lora"):
        _ = chemtune.LoraRegresor


def test_the_name_alone_loads_nothing_heavy():
    code = "import sys, chemtune; print(sorted({'torch', 'sklearn', 'rdkit'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
