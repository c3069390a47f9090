"""The losses that a network can be trained on: each the mean over a batch, of outputs (N, K) whose largest gives the predicted class.

Where a text below says masks, outputs are (N, K, H, W) and targets (N, H, W): each pixel counts as a picture does elsewhere, and those
that hold 255 do not count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import DataError, ShapeError, UsageError
from striate.engine.settings import LossName, TrainSettings
from striate.engine.step import Loss, hits_of_classes

IGNORED = 255  # in a mask: a pixel without a class
WITH_SMOOTHING = ("cross_entropy", "focal", "binary_cross_entropy")
WITH_WEIGHTS = ("cross_entropy", "focal")
OF_WHOLE_BATCHES = ("nll", "hinge", "squared_hinge")  # which have no loss of a picture alone that could be weighted


def cross_entropy(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """The mean of -sum_k w_k q_k log softmax(z)_k, in nats.

    q is the one-hot row of an int target, or the row of shares as it is; smoothing makes it (1 - s) q + s / K. The mean divides by the
    sum of the weights of the targets, sum_n sum_k w_k q_nk before smoothing: N where all weights are 1. For int targets this is torch's
    mean; for shares torch divides by N, so that a one-hot row would count otherwise than its class.

    Args:
        logits: (N, K), or of masks.
        targets: (N,) int64 in [0, K), or (N, K) shares that sum to 1; or masks.
        smoothing: s in [0, 1].
        weights: (K,) w, not negative; None for ones.

    Source: the smoothing is that of Szegedy et al., 2016, arXiv:1512.00567v3, section 7.
    """
    if weights is None and logits.ndim == 2:
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)
    weights = _weights_like(logits, weights)
    total = F.cross_entropy(logits, targets, weights, ignore_index=_ignored(logits), label_smoothing=smoothing, reduction="sum")
    return total / _total_weight(logits, targets, weights)


def focal(logits: Tensor, targets: Tensor, *, gamma: float = 2.0, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """The mean of -sum_k w_k q_k (1 - p_k)^gamma log p_k, p = softmax(z): cross-entropy in which easy samples count less.

    With gamma 0 it is `cross_entropy`, whose arguments and mean it shares. The weights are the source's alpha.

    Source: Lin, Goyal, Girshick, He and Dollar, 2017, arXiv:1708.02002v2, equation 5, over classes instead of two.
    """
    weights = _weights_like(logits, weights)
    log_probs = logits.log_softmax(1)
    away = (-torch.expm1(log_probs)).clamp(min=torch.finfo(log_probs.dtype).tiny)  # 1 - p; a power below 1 has no slope at 0
    terms = away**gamma * log_probs
    if not targets.is_floating_point() and smoothing == 0:
        total = F.nll_loss(terms, targets, weights, ignore_index=_ignored(logits), reduction="sum")
        return total / _total_weight(logits, targets, weights)
    shares = _shares(logits, targets)
    smoothed = (1 - smoothing) * shares + smoothing / logits.shape[1] * shares.sum(1, keepdim=True)  # a pixel without a class stays at 0
    if weights is not None:
        smoothed = smoothed * _along_classes(weights, logits)
    return -(smoothed * terms).sum() / _total_weight(logits, targets, weights)


def nll(log_probs: Tensor, targets: Tensor) -> Tensor:
    """The mean of -log p_y, of a network that ends in log-probabilities. Their softmax are the probabilities again.

    Args:
        log_probs: (N, K), or of masks; none above 0.
        targets: (N,) int64 in [0, K), or (N, K) shares; or masks.

    Raises:
        UsageError: an output is above 0, so it is not a log-probability. The check waits for the device.
    """
    if log_probs.detach().max() > 1e-3:
        message = f"the nll loss takes log-probabilities, at most 0, but the network gives {log_probs.detach().max().item():g}"
        raise UsageError(message, "Take `loss='cross_entropy'`, which takes logits, or let the network end in a log-softmax.")
    if targets.is_floating_point():
        return -(targets * log_probs).sum() / len(targets)
    total = F.nll_loss(log_probs, targets, ignore_index=_ignored(log_probs), reduction="sum")
    return total / _total_weight(log_probs, targets, None)


def hinge(scores: Tensor, labels: Tensor, *, power: int = 1) -> Tensor:
    """The mean of 1/K sum_{k != y} max(0, 1 - s_y + s_k)^power: a support vector machine as the last layer; power 2 squares it.

    Args:
        scores: (N, K).
        labels: (N,) int64 in [0, K).
        power: 1 or 2.

    Raises:
        UsageError: the labels are shares of classes.

    Source: Weston and Watkins, 1999, whose sum over the other classes torch's multi_margin_loss divides by K; that of Crammer and Singer,
    2001, has the largest term in place of the sum. For the squared one as the last layer: Tang, 2013, arXiv:1306.0239v4.
    """
    _refuse_shares(labels, "hinge")
    return F.multi_margin_loss(scores, labels, p=power)


def map_loss(scores: Tensor, labels: Tensor, *, rubbish: float = 1.0) -> Tensor:
    """LeNet-5's discriminative loss, the mean of y_D + log(e^-j + sum_i e^-y_i), with y = -scores the distances of its RBF output.

    The right class's distance falls and those of the others rise, the nearest most; e^-j stands for inputs of no class, and keeps
    distances that are large already from being pushed on. The source does not print j.

    Args:
        scores: (N, K), negated distances, as `EuclideanRBF` gives them.
        labels: (N,) int64 in [0, K).
        rubbish: j, positive.

    Raises:
        UsageError: the labels are shares of classes.

    Source: LeCun, Bottou, Bengio and Haffner, 1998, equation 9.
    """
    _refuse_shares(labels, "map")
    constant = scores.new_full((len(scores), 1), -rubbish)
    return (torch.cat([scores, constant], 1).logsumexp(1) - scores.gather(1, labels[:, None])[:, 0]).mean()


def binary_cross_entropy(logits: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """The mean over pictures and outputs of -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)), in nats.

    Args:
        logits: (N, K); K classes of which each is there or not, or with K = 1 two classes.
        targets: (N, K) in [0, 1]; or (N,) int64, which means one-hot rows, or with K = 1 the targets themselves.
        smoothing: s in [0, 1] makes t (1 - s) t + s / 2.

    Raises:
        ShapeError: the targets fit the logits in none of these ways.
    """
    wanted = _targets_like(logits, targets)
    return F.binary_cross_entropy_with_logits(logits, wanted if smoothing == 0 else (1 - smoothing) * wanted + smoothing / 2)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over pictures and outputs of (o - t)^2.

    Args:
        outputs: (N, K), or of pictures (N, K, H, W).
        targets: Likewise, float; (N,) float where K = 1; or (N,) int64 classes, which means one-hot rows.

    Raises:
        ShapeError: the targets fit the outputs in none of these ways.
    """
    return F.mse_loss(outputs, _targets_like(outputs, targets))


def l1(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over pictures and outputs of |o - t|; arguments as of `mse`."""
    return F.l1_loss(outputs, _targets_like(outputs, targets))


def huber(outputs: Tensor, targets: Tensor, *, delta: float = 1.0) -> Tensor:
    """The mean over pictures and outputs of e^2 / 2 where e = |o - t| is at most delta, else delta (e - delta / 2).

    Arguments as of `mse`. Source: Huber, 1964, Annals of Mathematical Statistics 35(1).
    """
    return F.huber_loss(outputs, _targets_like(outputs, targets), delta=delta)


def balanced_weights(class_counts: Tensor) -> Tensor:
    """(K,) n / (K n_k): each class weighs as much as any other, and the mean over the n targets is 1.

    Raises:
        DataError: a class has no pictures.
    """
    counts = class_counts.double()
    if (counts == 0).any():
        place = int((counts == 0).nonzero()[0])
        raise DataError(f"class_weights 'balanced': class {place} has no training pictures", "Add some, or give the weights as numbers.")
    return counts.sum() / (len(counts) * counts)


def loss_of(settings: TrainSettings, *, class_counts: Tensor | None = None) -> Loss:
    """The loss that a training minimises, as a function of outputs and targets.

    Args:
        settings: Names the loss, and what belongs to it.
        class_counts: (K,) how many training pictures each class has; for `class_weights` "balanced".

    Raises:
        UsageError: the loss has no smoothing or no class weights, but the settings ask for them; or the counts are missing.
        DataError: a class without pictures cannot be balanced.
    """
    name, smoothing = settings.loss, settings.smoothing
    _refuse_unused(settings)
    weights = None
    if settings.class_weights == "balanced":
        if class_counts is None:
            raise UsageError(
                "class_weights 'balanced' needs classes to count, which this training does not have", "Give the weights as numbers."
            )
        weights = balanced_weights(class_counts)
    elif settings.class_weights is not None:
        weights = torch.tensor(settings.class_weights, dtype=torch.float64)
        if not weights.any():
            raise UsageError("class_weights: at least one must be above 0")
    losses: dict[LossName, Loss] = {
        "cross_entropy": partial(cross_entropy, smoothing=smoothing, weights=weights),
        "nll": nll,
        "focal": partial(focal, gamma=settings.focal_gamma, smoothing=smoothing, weights=weights),
        "hinge": hinge,
        "squared_hinge": partial(hinge, power=2),
        "map": map_loss,
        "binary_cross_entropy": partial(binary_cross_entropy, smoothing=smoothing),
        "mse": mse,
        "l1": l1,
        "huber": partial(huber, delta=settings.huber_delta),
    }
    return losses[name]


def plain_loss_of(settings: TrainSettings) -> Loss:
    """The validation loss: the same without smoothing and class weights."""
    return loss_of(dataclasses.replace(settings, smoothing=0.0, class_weights=None))


def refuse_weights(settings: TrainSettings) -> None:
    """Refuse settings of a training that cannot weigh its pictures.

    Raises:
        UsageError: the loss cannot, or weighs classes.
    """
    if settings.loss in OF_WHOLE_BATCHES:
        remedy = "Choose another `loss`, such as cross_entropy, or leave the column of weights out."
        raise UsageError(f"the {settings.loss} loss takes no weights of pictures, and the data has some", remedy)
    if settings.class_weights is not None:
        remedy = "Multiply the weights of the classes into those of the pictures, or leave one of them out."
        raise UsageError("class_weights: the data has weights of its pictures", remedy)


def hits_of(settings: TrainSettings) -> Callable[[Tensor, Tensor], Tensor]:
    """The number of correct predictions in a batch, by outputs and targets.

    Where a picture has several targets, it is right when each output has the sign of its own. Of a picture with a mask, the share of
    right pixels counts. Where targets are numbers, nothing is right or wrong: 0.
    """
    return {"binary_cross_entropy": hits_of_signs, "mse": no_hits, "l1": no_hits, "huber": no_hits}.get(settings.loss, hits_of_places)


def hits_of_places(outputs: Tensor, targets: Tensor) -> Tensor:
    """() the number of correct pictures; of masks, the sum over the pictures of the share of correct pixels."""
    if outputs.ndim == 2:
        return hits_of_classes(outputs, targets)
    known = targets != IGNORED  # (N, H, W)
    right = ((outputs.argmax(1) == targets) & known).flatten(1).sum(1)
    return (right / known.flatten(1).sum(1).clamp(min=1)).sum()


def hits_of_signs(outputs: Tensor, targets: Tensor) -> Tensor:
    """() the number of pictures with each output on the correct side of 0; of int classes (N,), as for other classifiers."""
    if targets.ndim == 1 and outputs.shape[1] > 1:
        return hits_of_classes(outputs, targets)
    return ((outputs > 0) == (_targets_like(outputs, targets) > 0.5)).all(1).sum()


def no_hits(outputs: Tensor, targets: Tensor) -> Tensor:
    """() 0 if targets are numbers; of int classes (N,), as for other classifiers."""
    return outputs.new_zeros((), dtype=torch.int64) if targets.is_floating_point() else hits_of_classes(outputs, targets)


def _refuse_unused(settings: TrainSettings) -> None:
    for field, value, able in (
        ("smoothing", settings.smoothing, WITH_SMOOTHING),
        ("class_weights", settings.class_weights, WITH_WEIGHTS),
    ):
        if value and settings.loss not in able:
            raise UsageError(f"the {settings.loss} loss has no {field}, got {value}", f"Leave it out, or use one of {', '.join(able)}.")


def _refuse_shares(labels: Tensor, name: str) -> None:
    if labels.is_floating_point():
        raise UsageError(f"the {name} loss needs one class per picture, got mixed labels", "Train without mixup and cutmix.")


def _ignored(logits: Tensor) -> int:
    return IGNORED if logits.ndim > 2 else -100  # outside masks, 255 is a class as any other


def _along_classes(weights: Tensor, logits: Tensor) -> Tensor:
    """(K,) as (K, 1, ..., 1), to be multiplied with what has the axes of `logits`."""
    return weights.to(logits).view(-1, *(1,) * (logits.ndim - 2))


def _weights_like(logits: Tensor, weights: Tensor | None) -> Tensor | None:
    if weights is None:
        return None
    if len(weights) != logits.shape[1]:
        raise UsageError(f"class_weights must have an entry for each of the {logits.shape[1]} classes, got {len(weights)}")
    return weights.to(logits)


def _total_weight(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor | float:
    """The divisor of the mean; 1 if all weights are 0, where the sum is 0."""
    if weights is None and logits.ndim == 2:
        return len(targets)
    if targets.is_floating_point():
        total = targets.sum() if weights is None else (_along_classes(weights, logits) * targets).sum()
    else:
        known = targets[targets != _ignored(logits)]
        total = known.new_tensor(known.numel()) if weights is None else weights.to(logits)[known].sum()
    return torch.where(total > 0, total, 1)


def _shares(logits: Tensor, targets: Tensor) -> Tensor:
    """Rows of shares (N, K, ...): one-hot for int targets, all 0 for pixels without a class."""
    if targets.is_floating_point():
        return targets
    known = targets != _ignored(logits)
    hot = F.one_hot(torch.where(known, targets, 0), logits.shape[1]) * known[..., None]
    return hot.movedim(-1, 1).to(logits)


def _targets_like(outputs: Tensor, targets: Tensor) -> Tensor:
    """The targets in the outputs' shape and dtype."""
    if targets.shape == outputs.shape:
        return targets.to(outputs.dtype)
    if targets.shape == outputs.shape[:1] and outputs.ndim == 2:
        if outputs.shape[1] == 1:
            return targets[:, None].to(outputs.dtype)
        if not targets.is_floating_point():
            return F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    raise ShapeError(f"targets of shape {tuple(targets.shape)} do not fit outputs of shape {tuple(outputs.shape)}")
