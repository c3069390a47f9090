"""The deep belief network: restricted Boltzmann machines one on the other, the topmost with units for the labels.

Sources: Hinton, Osindero and Teh, 2006, "A fast learning algorithm for deep belief nets", for the layers, the label units and the samples;
Hinton and Salakhutdinov, 2006, "Reducing the dimensionality of data with neural networks", for fine-tuning by back-propagation.
Departs from the sources: fine-tuning runs Adam whose rate falls to 0, with dropout; the weights that draw samples stay as the machines
learned them (there is no up-down algorithm), and samples go down from the topmost machine by expected values, not by draws.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from striate.core.devices import choose_device
from striate.core.errors import NumericError, UsageError
from striate.core.seeds import mixed
from striate.core.settings import check_counts, check_numbers, check_word, sizes_of
from striate.core.text import counted
from striate.estimators.generative.contrastive import (
    GAUSSIAN_SHARE,
    Contrast,
    Machine,
    drawn_,
    first_machine,
    no_shares,
    reconstruction_error,
    require_shares,
)
from striate.estimators.labels import classes_of
from striate.estimators.numbers import finite_answers, need_units, num_dense, shape_of, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import seed_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_EPOCHS, MIN_UPDATES = 20, 2000  # of fine-tuning by default: small data has few updates an epoch
MIN_PRETRAIN_EPOCHS, MOST_PRETRAIN_EPOCHS, PRETRAIN_UPDATES = 10, 80, 8000  # of each machine by default


@dataclass(eq=False, repr=False)
class DeepBelief(Saved, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Layers that learn without labels one after the other, a joint memory of features and labels on top, and back-propagation at last.

        layer l learns p(h_l-1, h_l) of the shares p(h_l-1 = 1 | x)        the topmost learns p(h_l-1, label, h_l)
        P(label | x): the fine-tuned network, or the topmost machine's      P(x | label): Gibbs draws of that machine, then downwards

    Args:
        hidden_layer_sizes: Units of each hidden layer; a number for one layer.
        visible: "binary" (values from 0 to 1 are shares of being on), "gaussian" (any numbers), or "auto": as the data is.
        pretrain_max_iter: Epochs of each machine; None: as many as 8,000 updates take, but 10 to 80; 0: fresh weights, and no samples.
        pretrain_learning_rate: Of the machines, at first; it falls to 0 in a straight line.
        n_steps: Draws of both layers in an update of the topmost machine (CD-k): more of them make better samples.
        max_iter: Epochs of fine-tuning; None: 20, or as many as 2,000 updates take; 0: the answers are the topmost machine's.
        learning_rate: First rate of Adam.
        dropout: Share of each hidden layer that is left out while fine-tuning.
        batch_size: Samples an update; None: a hundredth of them, but 10 to 100.
        device: "cpu", "cuda", or "auto", for learning.
        random_state: Seed of weights, orders and draws.

    Attributes:
        machines_: For each machine "weights" (hidden, visible), "hidden" (hidden,), "visible" (visible,); of the topmost, the last visibles
            are the labels.
        coefs_: The network's matrices (inputs, units), the last gives the logits.
        intercepts_: Its vectors (units,).
        classes_: The labels.
        reconstruction_errors_: For each machine, the mean square of visibles less their reconstruction, before and after each epoch.
        loss_curve_: Mean cross-entropy of each epoch of fine-tuning, in nats.
        visible_: "binary" or "gaussian".
        n_iter_: Epochs of fine-tuning.

    Example:
        >>> X, y = np.array([[1, 1, 0, 0], [0, 0, 1, 1]] * 50), ["left", "right"] * 50
        >>> net = DeepBelief((4, 4), batch_size=10, random_state=0).fit(X, y)
        >>> net.predict([[1, 0, 0, 0], [0, 0, 1, 1]]).tolist()
        ['left', 'right']
        >>> net.sample(2, "right").round().tolist()
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """

    hidden_layer_sizes: tuple[int, ...] = (256, 256)
    _: KW_ONLY
    visible: str = "auto"
    pretrain_max_iter: int | None = None
    pretrain_learning_rate: float = 0.1
    n_steps: int = 5
    max_iter: int | None = None
    learning_rate: float = 3e-3
    dropout: float = 0.1
    batch_size: int | None = None
    device: str = "auto"
    random_state: Any = None

    def fit(self, X: Any, y: Any) -> Self:
        """Learn X (N, n), then its labels y (N,).

        Raises:
            DataError: X is not from 0 to 1 and the visibles are binary.
            UsageError: a setting is out of its range, or y holds one class.
            NumericError: weights left the finite numbers.
        """
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32))
        self._check_settings(X)
        self.classes_ = classes_of(y)
        sizes = [X.shape[1], *sizes_of("hidden_layer_sizes", self.hidden_layer_sizes), len(self.classes_)]
        need_units(self, num_dense(sizes), 4 * (6 * num_dense(sizes) + 2 * len(X) * sum(sizes)))
        indices = np.searchsorted(self.classes_, y)
        device = choose_device(self.device)
        seed = seed_of(self.random_state)
        generator = torch.Generator(device).manual_seed(mixed(seed))
        self.visible_ = self.visible if self.visible != "auto" else "gaussian" if len(no_shares(X)) else "binary"
        gaussian = self.visible_ == "gaussian"
        self.mean_ = X.mean(0, dtype=np.float64) if gaussian else np.zeros(X.shape[1])
        self.scale_ = X.std(0, dtype=np.float64) if gaussian else np.ones(X.shape[1])
        self.scale_[self.scale_ == 0] = 1.0
        data = torch.from_numpy(self._inputs(X).astype(np.float32, copy=False)).to(device)
        labels = torch.from_numpy(indices).to(device)

        machines = self._pretrained(data, labels, generator)
        self.machines_ = [
            {"weights": m.weights.cpu().numpy(), "hidden": m.hidden.cpu().numpy(), "visible": m.visible.cpu().numpy()} for m in machines
        ]
        layers = self._first_layers(machines, generator)
        self._fine_tune(layers, data, labels, generator)
        self.coefs_ = [weight.detach().cpu().numpy() for weight, _ in layers]
        self.intercepts_ = [bias.detach().cpu().numpy() for _, bias in layers]
        return self

    def _check_settings(self, X: np.ndarray) -> None:
        check_word(visible=self.visible, known=("auto", "binary", "gaussian"))
        if not sizes_of("hidden_layer_sizes", self.hidden_layer_sizes):
            raise UsageError(f"hidden_layer_sizes must be one or more positive numbers, got {self.hidden_layer_sizes}")
        check_counts(n_steps=self.n_steps)
        if self.pretrain_max_iter is not None:
            check_counts(least=0, pretrain_max_iter=self.pretrain_max_iter)
        if self.max_iter is not None:
            check_counts(least=0, max_iter=self.max_iter)
        if self.batch_size is not None:
            check_counts(batch_size=self.batch_size)
        check_numbers(learning_rate=self.learning_rate, pretrain_learning_rate=self.pretrain_learning_rate, dropout=self.dropout)
        if self.pretrain_max_iter == self.max_iter == 0:
            raise UsageError("pretrain_max_iter and max_iter are both 0: nothing would be learned", "Raise one of them.")
        if self.learning_rate <= 0 or self.pretrain_learning_rate <= 0 or not 0 <= self.dropout < 1:
            rates = (self.learning_rate, self.pretrain_learning_rate, self.dropout)
            raise UsageError(f"learning rates must be positive and dropout from 0 to below 1, got {rates}")
        if self.visible == "binary":
            require_shares(X, fitted=False)

    # ---- learning

    def _batch_size(self, num_samples: int) -> int:
        return self.batch_size or min(100, max(10, num_samples // 100))

    def _pretrain_epochs(self, num_samples: int) -> int:
        if self.pretrain_max_iter is not None:
            return self.pretrain_max_iter
        updates = -(-num_samples // self._batch_size(num_samples))  # an epoch
        return min(MOST_PRETRAIN_EPOCHS, max(MIN_PRETRAIN_EPOCHS, -(-PRETRAIN_UPDATES // updates)))

    def _pretrained(self, data: Tensor, labels: Tensor, generator: torch.Generator) -> list[Machine]:
        """The machines, from the lowest, each taught on the shares that the one below gives."""
        machines: list[Machine] = []
        self.reconstruction_errors_: list[list[float]] = []
        num_classes, x = len(self.classes_), data
        sizes = sizes_of("hidden_layer_sizes", self.hidden_layer_sizes)
        for level, size in enumerate(sizes, start=1):
            top, gaussian = level == len(sizes), level == 1 and self.visible_ == "gaussian"
            if top:
                x = torch.cat([x, F.one_hot(labels, num_classes).to(x.dtype)], 1)
            machine = first_machine(x, size, generator, gaussian=gaussian, num_labels=num_classes if top else 0)
            rate = self.pretrain_learning_rate * (GAUSSIAN_SHARE if gaussian else 1)
            contrast = Contrast(learning_rate=rate, momentum=0.5, weight_decay=2e-4, batch_size=self._batch_size(len(x)))
            contrast.num_steps = self.n_steps if top else 1
            errors = [reconstruction_error(machine, x)]
            epochs = self._pretrain_epochs(len(x))
            for epoch in range(epochs):
                contrast.momentum = 0.5 if epoch < 2 else 0.9  # the first steps are long ones
                contrast.learning_rate = rate * (1 - epoch / epochs)
                states = drawn_(x.clone(), torch.empty_like(x), generator) if top and level > 1 else x  # as the samples will be
                contrast.epoch(machine, states, generator)
                errors.append(reconstruction_error(machine, x))
            self.reconstruction_errors_.append(errors)
            machines.append(machine)
            if not top:
                x = machine.hidden_means(x)
        return machines

    def _first_layers(self, machines: list[Machine], generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases that fine-tuning begins with, the logits' layer last: the machines' own, or fresh ones."""
        num_classes, first = len(self.classes_), machines[0]
        if self.pretrain_max_iter != 0:
            layers = [(m.weights[:, : m.weights.shape[1] - m.num_labels].t(), m.hidden) for m in machines]
            layers.append((machines[-1].weights[:, -num_classes:], machines[-1].visible[-num_classes:]))
        else:
            num_inputs = first.weights.shape[1] - first.num_labels
            layers = []
            for sizes in pairwise([num_inputs, *sizes_of("hidden_layer_sizes", self.hidden_layer_sizes), num_classes]):
                reach = (6 / sum(sizes)) ** 0.5  # Glorot and Bengio, 2010
                layers.append(
                    (first.weights.new_empty(sizes).uniform_(-reach, reach, generator=generator), first.hidden.new_zeros(sizes[1]))
                )
        return [
            (weight.clone(memory_format=torch.contiguous_format).requires_grad_(), bias.clone().requires_grad_()) for weight, bias in layers
        ]

    def _fine_tune(self, layers: list[tuple[Tensor, Tensor]], data: Tensor, labels: Tensor, generator: torch.Generator) -> None:
        """Back-propagation of the cross-entropy, in place; the rate falls to 0 along a cosine."""
        self.loss_curve_: list[float] = []
        steps_per_epoch = -(-len(data) // self._batch_size(len(data)))
        self.n_iter_ = max(MIN_EPOCHS, -(-MIN_UPDATES // steps_per_epoch)) if self.max_iter is None else self.max_iter
        optimizer = torch.optim.Adam([part for layer in layers for part in layer], lr=self.learning_rate, fused=data.device.type != "mps")
        num_steps, step = self.n_iter_ * steps_per_epoch, 0
        for epoch in range(1, self.n_iter_ + 1):
            total = torch.zeros((), device=data.device)
            for batch in torch.randperm(len(data), generator=generator, device=data.device).split(self._batch_size(len(data))):  # type: ignore[no-untyped-call]
                optimizer.param_groups[0]["lr"] = self.learning_rate * (1 + math.cos(math.pi * step / num_steps)) / 2
                loss = F.cross_entropy(logits(layers, data[batch], self.dropout, generator), labels[batch])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += loss.detach() * len(batch)
                step += 1
            self.loss_curve_.append(float(total) / len(data))
            if not math.isfinite(self.loss_curve_[-1]):
                message = f"the loss is not finite in epoch {epoch} of fine-tuning"
                raise NumericError(message, f"Lower learning_rate, which is {self.learning_rate:g}.")

    # ---- answers

    def _inputs(self, X: np.ndarray) -> np.ndarray:
        """X as the lowest machine sees it."""
        if self.visible_ == "binary":
            return X
        inputs: np.ndarray = ((X - self.mean_) / self.scale_).astype(X.dtype, copy=False)
        return inputs

    def _visibles(self, X: Any) -> Tensor:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        if self.visible_ == "binary":
            require_shares(X, fitted=True)
        return torch.from_numpy(self._inputs(X))

    def _machines(self) -> list[Machine]:
        """The machines, to draw from."""
        check_is_fitted(self)
        if self.pretrain_max_iter == 0:
            raise UsageError(
                "pretrain_max_iter was 0: there are no trained machines to sample from",
                "Fit with a positive pretrain_max_iter, such as 10.",
            )
        last, machines = len(self.machines_) - 1, []
        for level, kept in enumerate(self.machines_):
            parts = [torch.from_numpy(kept[name]).double() for name in ("weights", "hidden", "visible")]
            gaussian = level == 0 and self.visible_ == "gaussian"
            machines.append(Machine(parts[0], parts[1], parts[2], gaussian, len(self.classes_) if level == last else 0))
        return machines

    def predict_proba(self, X: Any) -> np.ndarray:
        """P(label | x) of the fine-tuned network, or of the topmost machine where max_iter is 0: (N, K)."""
        check_is_fitted(self)
        if not self.n_iter_:
            return self.machine_proba(X)
        layers = [(torch.from_numpy(w).double(), torch.from_numpy(b).double()) for w, b in zip(self.coefs_, self.intercepts_, strict=True)]
        return finite_answers(logits(layers, self._visibles(X)).softmax(1).numpy())

    def machine_proba(self, X: Any) -> np.ndarray:
        """P(label | x) of the topmost machine, from its free energy with each label: (N, K)."""
        *below, top = self._machines()
        x = self._visibles(X)
        for machine in below:
            x = machine.hidden_means(x)
        num_labels = len(self.classes_)
        inputs = torch.addmm(top.hidden, x, top.weights[:, :-num_labels].t())  # (N, H), without the labels' share
        columns = [F.softplus(inputs + top.weights[:, place]).sum(1) + top.visible[place] for place in range(-num_labels, 0)]
        return finite_answers(torch.stack(columns, 1).softmax(1).numpy())

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row."""
        places = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[places]
        return labels

    def plot(self, shape: tuple[int, int] | None = None, *, n_samples: int = 8, n_steps: int = 500) -> Figure:
        """Samples of each label as pictures of `shape`, and the reconstruction error of each machine by epoch; a matplotlib figure.

        Args:
            shape: (height, width) of the inputs; None: square where they are, else one row.
            n_samples: Samples of each label.
            n_steps: Draws of both layers of the topmost machine before each.

        Raises:
            NotFittedError: nothing was fitted yet.
            UsageError: there was no pre-training.
            ShapeError: the inputs do not fill the shape.
        """
        from striate.drawing.classical import samples_figure

        check_is_fitted(self)
        height, width = shape_of(self.n_features_in_, shape)
        check_counts(n_samples=n_samples)
        samples = np.stack([self.sample(n_samples, label, n_steps=n_steps) for label in self.classes_])  # (K, n, features)
        title = f"Deep belief network, {counted(len(self.machines_), 'machine')}"
        pictures = samples.reshape(len(samples), n_samples, height, width)
        return samples_figure(pictures, [str(label) for label in self.classes_], self.reconstruction_errors_, title)

    def sample(self, n_samples: int = 1, label: Any = None, *, n_steps: int = 500) -> np.ndarray:
        """Draws of P(x | label), or of P(x) where no label is given: (n_samples, n).

        The topmost machine's last hidden states are drawn; from there downwards each layer gives what is expected (mean field), for units
        that are drawn at each level blur what they stand for.

        Args:
            n_samples: The number of samples.
            label: One of the classes.
            n_steps: Draws of both layers of the topmost machine.

        Raises:
            UsageError: no such label, or there was no pre-training.
        """
        *below, top = self._machines()
        check_counts(least=0, n_samples=n_samples)
        check_counts(n_steps=n_steps)
        num_labels = len(self.classes_)
        generator = torch.Generator().manual_seed(seed_of(self.random_state))
        given = None
        if label is not None:
            if np.ndim(label) or label not in self.classes_:
                raise UsageError(f"label {label!r} was not in the training data", f"Known: {', '.join(map(str, self.classes_))}.")
            given = torch.from_numpy(self.classes_ == label).double()
        apart = Machine(torch.zeros_like(top.weights), top.hidden, top.visible, top.gaussian, num_labels)
        v = apart.visible_sample(torch.zeros(n_samples, len(top.hidden), dtype=torch.float64), generator)
        for _ in range(n_steps):
            if given is not None:
                v[:, -num_labels:] = given
            h = top.hidden_sample(v, generator)
            v = top.visible_sample(h, generator)
        x = top.visible_means(h)[:, :-num_labels]
        for machine in reversed(below):
            x = machine.visible_means(x)
        return x.numpy() * self.scale_ + self.mean_


def logits(layers: list[tuple[Tensor, Tensor]], x: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
    """The network's logits (N, K) of x (N, n): sigmoids below, the last layer linear."""
    *hidden, (last, bias) = layers
    for weight, offset in hidden:
        x = torch.addmm(offset, x, weight).sigmoid()
        if dropout:
            x = x * torch.empty_like(x).bernoulli_(1 - dropout, generator=generator).div_(1 - dropout)
    return torch.addmm(bias, x, last)
