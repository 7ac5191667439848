"""The templates of all pages, and how they write numbers and pictures."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.evaluation.verdict import number


def page_environment() -> Environment:
    """The templates of all pages; text from a table is escaped."""
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["zip"] = zip
    environment.filters |= {"number": number, "image": _image, "plain": plain}
    return environment


def _image(svg: str) -> str:
    """An SVG as a data address: nothing in it can run or reach out."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def plain(value: Any) -> str:
    """A number with three digits, or a class label as it is."""
    return number(float(value)) if isinstance(value, (float, np.floating)) else str(value)
