"""A folder that runs by itself, as a zip file: the ONNX file, its card, a short program and the packages that it needs."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.errors import UsageError
from striate.core.images import ImageSpec
from striate.insight.export.onnx_file import onnx_bytes
from striate.insight.export.wanted import Wanted
from striate.models.runtimes import ONNX

if TYPE_CHECKING:
    from striate.models.model import Model

PARTS = Path(__file__).with_name("bundle")
ZIP = ".zip"
CARD, MODEL = "MODEL_CARD.md", f"model{ONNX}"
WRITTEN = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes
README = """Classify pictures:

    python -m venv here
    here/bin/python -m pip install --require-hashes -r requirements.txt
    here/bin/python predict.py PICTURE ...
"""


def bundled_onnx(model: Model, wanted: Wanted) -> dict[str, bytes]:
    """The ONNX file for a bundle.

    Raises:
        UsageError: the model takes no pictures, or as of `onnx_bytes`.
    """
    if not isinstance(model.images, ImageSpec):
        raise UsageError(f"{model.network.name}: takes {model.images.kind}, and a bundle classifies picture files", "Export it as onnx.")
    return {ONNX: onnx_bytes(model, wanted)}


def bundle_bytes(model: bytes, card: str) -> bytes:
    """The zip file of an ONNX file and its card: with `predict.py`, and its packages by name, version and hash."""
    parts = {
        "README.txt": README.encode(),
        CARD: card.encode(),
        MODEL: model,
        "predict.py": (PARTS / "predict.py.txt").read_bytes(),
        "requirements.txt": (PARTS / "requirements.txt").read_bytes(),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(f"model/{name}", WRITTEN), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()
