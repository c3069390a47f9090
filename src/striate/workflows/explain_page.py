"""Heat as colours, and one HTML page that carries its pictures inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

OPACITY = 0.55  # of the heat over a picture
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;background:#fff;color:#222}"
    "img{max-width:100%;height:auto;background:#fff}h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin-top:2rem}"
    "@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}}"
)


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


def page(title: str, shown: Sequence[Shown]) -> str:
    """One HTML page that needs nothing else."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for item in shown:
        if item.name.endswith(".png"):
            data = base64.b64encode(item.content).decode()
            parts.append(f"<h2>{html.escape(item.heading)}</h2>\n<p>{html.escape(item.text)}</p>")
            parts.append(f'<img alt="{html.escape(item.heading)}" src="data:image/png;base64,{data}">')
        else:
            parts.append(f"<p>{html.escape(item.heading)}: {html.escape(item.name)}</p>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
    body = "\n".join(parts)
    return f"<!doctype html>\n<html lang=en><head>{head}<style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
