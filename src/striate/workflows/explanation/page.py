"""Heat as colours, and the page of what was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from striate.drawing.page import Section, document, figure, pairs, paragraph

OPACITY = 0.55  # of the heat over a picture
LEAST_PX = 520  # to which a picture is made smaller on a narrow screen


class Shown(NamedTuple):
    """A file of the report, PNG or CSV: its name, a heading, its bytes, and what to say about it."""

    name: str
    heading: str
    content: bytes
    text: str = ""


def shaded(heat: np.ndarray, picture: np.ndarray | None = None) -> np.ndarray:
    """Heat (H, W) in colours, uint8 (H, W, 3): dark where there is none, white at its 99.5th percentile; over a grey `picture` if given.

    Negative heat is drawn as none.
    """
    import matplotlib

    positive = np.maximum(heat.astype(np.float64), 0)
    top = float(np.percentile(positive, 99.5)) or float(positive.max())
    share = np.minimum(positive / top, 1) if top > 0 else positive
    if picture is None:
        colours = matplotlib.colormaps["inferno"](share)[..., :3]
        return np.asarray(np.rint(255 * colours), np.uint8)
    colours = 255 * matplotlib.colormaps["turbo"](share)[..., :3]
    grey = picture.mean(2, keepdims=True)
    return np.asarray(np.rint(grey + OPACITY * (colours - grey)), np.uint8)


def page(title: str, shown: Sequence[Shown], left_out: Mapping[str, str] | None = None) -> bytes:
    """One HTML page of pictures, the names of the tables beside it, and what is left out and why."""
    pictures = [
        Section(item.heading, (paragraph(item.text) if item.text else "") + figure(item.content, item.heading, least_px=LEAST_PX))
        for item in shown
        if item.name.endswith(".png")
    ]
    tables = [(item.heading, item.name) for item in shown if not item.name.endswith(".png")]
    facts = [("Tables", tables), ("Left out", list((left_out or {}).items()))]
    return document(title, "", [*pictures, *(Section(heading, pairs(found)) for heading, found in facts if found)])
