"""Files of fitted estimators: safetensors with the arrays, the settings and all else as JSON in the metadata. Numbers and names only.

A file holds one metadata entry, `striate_estimator`: format, estimator (a public name of this room), params, values, and the SHA-256 of
all that and of the arrays, so that a damaged or edited file is refused.
"""

from __future__ import annotations

import importlib
import json
import math
from os import PathLike
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import NumericError, RefusedFileError, UsageError
from striate.core.files import given_path
from striate.core.tensor_files import TensorFile, check_seal, described, numpy_arrays, read_tensor_file, sealed, write_tensor_file

FORMAT = 1
FIELDS = {"format", "estimator", "params", "values", "sha256"}
ENTRY = "striate_estimator"  # of the metadata
WANTED = "Give a file that an estimator's save wrote."


class Saved:
    """Mixin that makes an estimator saveable: use it as the first base.

    All instance attributes are kept: settings, arrays, numbers, texts, None, and lists, tuples and dicts of these.
    """

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted estimator to `path` (.safetensors), whole or not at all; `load_estimator` reads it.

        The file gets its name once it was read back and opens. A random_state that is a generator is not kept, as nothing that was
        fitted needs it.

        Raises:
            NotFittedError: nothing was fitted yet.
            NumericError: an array holds NaN or Inf; nothing is written.
            UsageError: a setting is neither data nor None, or the file could not be opened again.
            EnvironmentFault: the file cannot be written, or the disk gives back other bytes; an older one stays.
        """
        from safetensors.numpy import save

        file = given_path(path, "path")
        check_is_fitted(self)
        params: dict[str, Any] = self.get_params(deep=False)  # type: ignore[attr-defined]  # of scikit-learn's BaseEstimator
        if isinstance(params.get("random_state"), np.random.RandomState | np.random.Generator):
            params["random_state"] = None
        arrays: dict[str, np.ndarray] = {}
        header: dict[str, Any] = {
            "format": FORMAT,
            "estimator": type(self).__name__,
            "params": {name: encoded(f"params.{name}", value, arrays) for name, value in params.items()},
            "values": {name: encoded(name, value, arrays) for name, value in vars(self).items() if name not in params},
        }
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise NumericError(f"{file.name}: not saved, because {name} holds NaN or Inf", "Fit with a smaller learning_rate.")
        data = save(arrays, {ENTRY: json.dumps(sealed(header, arrays), allow_nan=False)})
        write_tensor_file(file, data, opened)


def load_estimator(path: str | PathLike[str]) -> Any:
    """The fitted estimator that `save` wrote to `path`.

    Raises:
        RefusedFileError: not such a file, damaged, or of an unknown estimator. Nothing in the file is run.
    """
    return opened(read_tensor_file(given_path(path, "path"), remedy=WANTED))


def opened(file: TensorFile) -> Any:
    """The fitted estimator of a file's bytes."""
    from striate import estimators

    path, header, arrays = file.path, checked_header(file), numpy_arrays(file)
    check_seal(path, header, arrays)
    home = estimators.HOMES.get(str(header["estimator"]))
    kind = getattr(importlib.import_module(home), header["estimator"]) if home else None
    if not isinstance(kind, type) or not issubclass(kind, Saved):
        raise RefusedFileError(f"{path}: unknown estimator {header['estimator']!r}", "Read it with the version of Striate that wrote it.")
    try:
        estimator = kind(**{name: decoded(value, arrays) for name, value in header["params"].items()})
        values = {name: decoded(value, arrays) for name, value in header["values"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RefusedFileError(f"{path}: the content does not fit {header['estimator']}: {error}") from None
    for name, value in values.items():
        if name in dir(kind):
            raise RefusedFileError(f"{path}: {name} is not a fitted attribute of {header['estimator']}")
        setattr(estimator, name, value)
    return estimator


def checked_header(file: TensorFile) -> dict[str, Any]:
    """The checked description in the file's metadata."""
    path, header = file.path, described(file, ENTRY)
    if header is None:
        raise RefusedFileError(f"{path}: a safetensors file without a Striate estimator", "Read models of pictures with striate.load.")
    if not isinstance(header, dict) or header.get("format") != FORMAT or set(header) != FIELDS:
        raise RefusedFileError(f"{path}: written in another format than {FORMAT}", "Read it with the version of Striate that wrote it.")
    if not isinstance(header["params"], dict) or not isinstance(header["values"], dict):
        raise RefusedFileError(f"{path}: params and values must be objects")
    return header


def encoded(name: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON; arrays of numbers are put in `arrays` under `name`."""
    if isinstance(value, np.generic):
        return {"scalar": str(value.dtype), "item": encoded(name, value.item(), arrays)}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[name] = np.ascontiguousarray(value).reshape(value.shape)
        return {"array": name}
    if isinstance(value, np.ndarray) and all(isinstance(item, str) for item in value.ravel()):
        return {"texts": value.ravel().tolist(), "shape": list(value.shape), "object": value.dtype.kind == "O"}
    if isinstance(value, list | tuple):
        items = [encoded(f"{name}.{index}", item, arrays) for index, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else {"list": items}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encoded(f"{name}.{key}", item, arrays) for key, item in value.items()}}
    if isinstance(value, dict):  # of labels, as class_weight has them
        return {"pairs": [[encoded(f"{name} key", key, arrays), encoded(f"{name}.{key}", item, arrays)] for key, item in value.items()]}
    raise UsageError(f"{name}: a value of type {type(value).__name__} cannot be saved", "Use numbers, texts and arrays of numbers.")


def decoded(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of `encoded`."""
    if not isinstance(value, dict):
        return value
    (kind, content), *rest = value.items()
    match kind:
        case "array":
            return arrays[content]
        case "scalar":
            return np.dtype(content).type(decoded(value["item"], arrays))
        case "float":
            return float(content)
        case "texts":
            return np.array(content, dtype=object if value["object"] else None).reshape(value["shape"])
        case "list" | "tuple":
            items = [decoded(item, arrays) for item in content]
            return items if kind == "list" else tuple(items)
        case "dict":
            return {key: decoded(item, arrays) for key, item in content.items()}
        case "pairs":
            return {decoded(key, arrays): decoded(item, arrays) for key, item in content}
    raise ValueError(f"unknown kind of value {kind!r} {rest}")
