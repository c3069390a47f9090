"""Support vector machines: scikit-learn's own (libsvm), with the numbers that a textbook asks for, and files without code.

Sources: Boser, Guyon and Vapnik, 1992; Cortes and Vapnik, 1995, "Support-vector networks".
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from striate.core.errors import UsageError
from striate.estimators.neurons.regions import Regions
from striate.estimators.persistence import Saved


class KernelSVM(Regions, Saved, SVC):  # type: ignore[misc]  # scikit-learn carries no types
    """The largest margin in the space of a kernel; settings and attributes are those of `sklearn.svm.SVC`, solved more closely.

        max over a of  sum a - sum a_i a_j y_i y_j K(x_i, x_j) / 2,   0 <= a <= C,   sum a y = 0

    Example:
        >>> X, y = [[-1, -1], [-1, 1], [1, -1], [1, 1]], [-1, 1, 1, -1]
        >>> svm = KernelSVM(kernel="poly", degree=2, gamma=1, coef0=1, C=1e6).fit(X, y)
        >>> svm.alpha_.round(6).tolist(), round(float(svm.dual_objective_), 6)
        ([0.125, 0.125, 0.125, 0.125], 0.25)
    """

    def __init__(
        self,
        *,
        kernel: str = "rbf",
        C: float = 1.0,
        gamma: float | str = "scale",
        degree: int = 3,
        coef0: float = 0.0,
        tol: float = 1e-5,
        max_iter: int = -1,
        class_weight: Any = None,
    ) -> None:
        super().__init__(kernel=kernel, C=C, gamma=gamma, degree=degree, coef0=coef0, tol=tol, max_iter=max_iter, class_weight=class_weight)

    def fit(self, X: Any, y: Any) -> Self:
        """Find the largest margin between labels y (N,) of X (N, n).

        Departs from scikit-learn: there are no weights of samples, whose effect libsvm reproduces only roughly.
        """
        super().fit(X, y)
        return self

    @property
    def alpha_(self) -> np.ndarray:
        """The multipliers of the support vectors (vectors,), in the order of `support_`; of two classes."""
        self._of_two("alpha_")
        multipliers: np.ndarray = np.abs(self.dual_coef_).ravel()
        return multipliers

    @property
    def dual_objective_(self) -> float:
        """The maximum that was reached; for two classes.

        From the decisions d_i at the support vectors: sum_ij a_i a_j y_i y_j K = sum_i a_i y_i (d_i - b).
        """
        self._of_two("dual_objective_")
        signed = np.asarray(self.dual_coef_).ravel()
        return float(self.alpha_.sum() - signed @ (self.decision_function(self.support_vectors_) - self.intercept_[0]) / 2)

    def _of_two(self, name: str) -> None:
        check_is_fitted(self)
        if len(self.classes_) != 2:
            raise UsageError(f"{name} is defined for two classes only, and the model has {len(self.classes_)}", "Fit with two classes.")


class LinearSVM(KernelSVM):
    """The largest margin of a plane: `KernelSVM` with the kernel x . y.

        min over w, b of  |w|^2 / 2 + C sum max(0, 1 - y (w . x + b))

    Args:
        C: The price of a violated margin.
        tol: Of libsvm, closer than its own default.
        max_iter: Of libsvm; -1 for no limit.
        class_weight: Of scikit-learn.

    Example:
        >>> svm = LinearSVM(C=1e6).fit([[0, 0], [2, 2], [2, 0], [3, 0]], [-1, -1, 1, 1])
        >>> svm.coef_.round(3).tolist(), svm.intercept_.round(3).tolist(), round(svm.margin_, 5)
        ([[1.0, -1.0]], [-1.0], 1.41421)
    """

    def __init__(self, *, C: float = 1.0, tol: float = 1e-5, max_iter: int = -1, class_weight: Any = None) -> None:
        super().__init__(kernel="linear", C=C, tol=tol, max_iter=max_iter, class_weight=class_weight)

    @property
    def margin_(self) -> float:
        """The width of the margin, 2 / |w|; for two classes."""
        self._of_two("margin_")
        return float(2 / np.linalg.norm(self.coef_))
