"""chemtune by its own name: the public names of the package, whose code stands in the folder ``pipeline``.

>>> from chemtune import LoraRegressor, load
"""

from __future__ import annotations

from typing import Any

import pipeline
from pipeline import __version__ as __version__


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used; ``*`` imports all."""
    if name == "__all__":
        return list(pipeline.__all__)
    if name in pipeline.__all__:
        return getattr(pipeline, name)
    raise AttributeError(f"module 'chemtune' has no attribute {name!r}; it has {', '.join(pipeline.__all__)}")


def __dir__() -> list[str]:
    return sorted([*pipeline.__all__, "__version__"])
