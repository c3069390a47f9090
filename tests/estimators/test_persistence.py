"""Files of fitted estimators: everything comes back, and nothing but such files is read."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.exceptions import NotFittedError

from striate.core.errors import NumericError, RefusedFileError
from striate.estimators import Perceptron, load_estimator
from striate.estimators.persistence import decoded, encoded


def test_values_of_every_kind_come_back():
    value = {
        "array": np.arange(6.0).reshape(2, 3),
        "texts": np.array(["a", "bc"], dtype=object),
        "scalar": np.float32(0.5),
        "rest": [1, None, True, "x", (float("inf"), 2.5)],
    }
    arrays: dict[str, np.ndarray] = {}
    again = decoded(json.loads(json.dumps(encoded("v", value, arrays), allow_nan=False)), arrays)
    np.testing.assert_array_equal(again["array"], value["array"])
    assert again["texts"].tolist() == ["a", "bc"] and again["texts"].dtype == object
    assert again["scalar"] == 0.5 and again["scalar"].dtype == np.float32
    assert again["rest"] == value["rest"]


def test_what_is_not_such_a_file_is_refused(tmp_path: Path):
    path = tmp_path / "p.safetensors"
    with pytest.raises(NotFittedError):
        Perceptron().save(path)
    gate = Perceptron().fit([[0], [1]], ["no", "yes"])
    gate.save(path)
    assert load_estimator(path).predict([[0], [1]]).tolist() == ["no", "yes"]

    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(RefusedFileError, match="does not match its SHA-256: damaged or edited"):
        load_estimator(path)
    path.write_bytes(b"short")
    with pytest.raises(RefusedFileError, match=r"not a safetensors file, or cut short \(5 bytes\)"):
        load_estimator(path)
    save_file({"w": np.ones(2)}, path)
    with pytest.raises(RefusedFileError, match="a safetensors file without a Striate estimator"):
        load_estimator(path)
    gate.coef_[0, 0] = np.nan
    with pytest.raises(NumericError, match="not saved, because coef_ holds NaN or Inf"):
        gate.save(path)
