"""Files of fitted estimators: safetensors with the arrays, the settings and all else as JSON in the metadata. Numbers and names only.

A file holds one metadata entry, `striate_estimator`: format, estimator (a public name of this room), params, values, and the SHA-256 of
all that and of the arrays, so that a damaged or edited file is refused.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import struct
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import NumericError, RefusedFileError, UsageError
from striate.core.files import write_atomically

FORMAT = 1
FIELDS = {"format", "estimator", "params", "values", "sha256"}
MAX_HEADER_BYTES = 100_000_000  # the safetensors format's own limit


class Saved:
    """What can be saved: give it to an estimator as its first base.

    All instance attributes are kept: settings, arrays, numbers, texts, None, and lists, tuples and dicts of these.
    """

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted estimator to `path` (.safetensors), whole or not at all; `load_estimator` reads it.

        A random_state that is a generator is not kept, as nothing that was fitted needs it.

        Raises:
            NotFittedError: nothing was fitted yet.
            NumericError: an array holds NaN or Inf; nothing is written.
            UsageError: a setting is neither data nor None.
            EnvironmentFault: the file cannot be written.
        """
        from safetensors.numpy import save

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
                raise NumericError(f"{Path(path).name}: not saved, because {name} holds NaN or Inf", "Fit with a smaller learning_rate.")
        header["sha256"] = digest(header, arrays)
        write_atomically(Path(path), save(arrays, {"striate_estimator": json.dumps(header, allow_nan=False)}))


def load_estimator(path: str | PathLike[str]) -> Any:
    """The fitted estimator that `save` wrote to `path`.

    Raises:
        RefusedFileError: not such a file, damaged, or of an unknown estimator. Nothing in the file is run.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from striate import estimators

    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RefusedFileError(f"{path}: cannot read: {error.strerror or error}", "Give a file that an estimator's save wrote.") from None
    header = read_header(path, data)
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise RefusedFileError(f"{path}: damaged safetensors file: {error}", "Copy the file again from its source.") from None
    if header["sha256"] != digest({name: value for name, value in header.items() if name != "sha256"}, arrays):
        raise RefusedFileError(f"{path}: the content does not match its SHA-256: damaged or edited", "Copy the file again from its source.")
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
            raise RefusedFileError(f"{path}: {name} is no fitted value of {header['estimator']}")
        setattr(estimator, name, value)
    return estimator


def read_header(path: Path, data: bytes) -> dict[str, Any]:
    """The checked metadata entry of safetensors bytes."""
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= length <= min(len(data) - 8, MAX_HEADER_BYTES):
        remedy = "Give a file that an estimator's save wrote."
        raise RefusedFileError(f"{path}: not a safetensors file, or cut short ({len(data):,} bytes)", remedy)
    try:
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["striate_estimator"])
    except (KeyError, TypeError):
        message = f"{path}: a safetensors file without a Striate estimator"
        raise RefusedFileError(message, "Read models of pictures with striate.load.") from None
    except (ValueError, RecursionError) as error:
        raise RefusedFileError(f"{path}: damaged header: {error}", "Copy the file again from its source.") from None
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
    """What `encoded` encoded."""
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


def digest(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over the header and, name by name, each array's type, shape and bytes."""
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        found.update(f"\n{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()
