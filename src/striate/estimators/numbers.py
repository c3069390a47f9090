"""Numbers as estimators without scikit-learn's checks take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.core.errors import DataError


def real_numbers(name: str, X: Any) -> np.ndarray:
    """X as float64, of any shape.

    Raises:
        DataError: X holds text or complex numbers, or rows of different lengths.
    """
    try:
        array = np.asarray(X)
        if array.dtype.kind == "c":
            raise DataError(f"{name} must hold real numbers, got complex ones", "Take X.real.")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} must hold numbers, in rows of one length: {error}", "Look for texts, gaps and short rows.") from None
