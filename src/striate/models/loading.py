"""Opening a trained model by its path."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.calls import call_as_in
from striate.core.errors import RefusedFileError, UsageError
from striate.core.places import near
from striate.models.exported import ExportedModel
from striate.models.model import MODEL_NAME, Model
from striate.models.runtimes import ENDINGS
from striate.networks.model_file import load_model

if TYPE_CHECKING:
    from torch import nn


@call_as_in("striate.load('runs/train/digits-001', device='cuda')")
def load(source: str | PathLike[str], *, device: str = "cpu", module: nn.Module | None = None) -> Model:
    """The model of a run folder, a `.safetensors` file or an exported file; with the `module` of the user, which no file holds.

    Raises:
        UsageError: there is no such file or folder, or the network was the user's own module, which is not passed; or `source`
            is a Model, which is loaded already.
        RefusedFileError: the file is not a Striate model, or damaged.
    """
    if isinstance(source, Model):
        raise UsageError("load: the Model is loaded already", "Use it as it is.")
    try:
        path = Path(source)
    except TypeError:
        remedy = "Wrap a torch module with striate.Model.of(module, input_size=224)."
        raise UsageError(f"expected a run folder or a model file, got a {type(source).__name__}", remedy) from None
    if not path.exists():
        raise UsageError(f"{path}: no such run folder or model file", near(path, "Give a run folder or a .safetensors model file."))
    if path.is_dir():
        if not (path / MODEL_NAME).is_file():
            raise RefusedFileError(f"{path}: the folder holds no {MODEL_NAME}", "Give the folder of a finished training run.")
        path = path / MODEL_NAME
    if path.suffix.lower() in ENDINGS:
        return ExportedModel(path)
    return Model(load_model(path, module=module), device=device)
