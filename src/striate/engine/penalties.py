"""Penalties and constraints beside the loss: L1, L2, gradient clipping by value, and max-norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import UsageError
from striate.engine.optimizers.groups import is_decayed
from striate.engine.settings import TrainSettings

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Penalties:
    """Adds to the loss  l1 sum |w| + l2 sum w^2 + l2_half / 2 sum w^2  over the decayed weights, by its gradient.

    The gradient of the data is cut first, by norm and then by value, so that penalties weigh as much on every step. For plain descent
    l2 is a decay of 2 l2, and l2_half one of l2_half; for Adam neither is the decay of AdamW.

    L1 makes weights exactly 0 (Andrew and Gao, 2007, "Scalable training of L1-regularized log-linear models"): the gradient at 0 is the
    soft threshold of the data's, and a weight that an update moves across 0 stops there. For plain descent that is the proximal step
    sign(w) max(0, |w| - rate l1) but where a step crosses 0; unlike it, the minimum is the same under momentum and for Adam.

    After the update max-norm projects the weights that come into each unit on the ball of that radius (Srivastava et al., 2014).
    A parameter without a gradient is left as it is.
    """

    def __init__(self, settings: TrainSettings, model: nn.Module) -> None:
        self.settings, self.model = settings, model
        self.decayed = [param for param in model.parameters() if is_decayed(param, settings)]
        self.signs: list[tuple[nn.Parameter, Tensor]] = []  # that the update may give the weights, -1, 0 or 1; with L1
        self.weights = [
            (weight, isinstance(part, TRANSPOSED), int(getattr(part, "groups", 1)))
            for part in model.modules()
            for weight in part.parameters(recurse=False)
            if weight.ndim > 1
        ]

    def loss(self) -> Tensor:
        """The penalty itself, (), of which the gradient is added."""
        settings, weights = self.settings, [param.detach() for param in self.decayed if param.requires_grad]
        squares = torch.stack([weight.square().sum() for weight in weights]).sum() if weights else torch.zeros(())
        sizes = torch.stack([weight.abs().sum() for weight in weights]).sum() if weights else torch.zeros(())
        return settings.l1 * sizes + (settings.l2 + settings.l2_half / 2) * squares

    @torch.no_grad()
    def before_update(self) -> None:
        """Clip the gradients, and add those of the penalties."""
        if self.settings.max_grad_value is not None:
            nn.utils.clip_grad_value_(self.model.parameters(), self.settings.max_grad_value)
        square_factor = 2 * self.settings.l2 + self.settings.l2_half
        self.signs.clear()
        for param in self.decayed:
            if param.grad is None:
                continue
            if square_factor:
                param.grad.add_(param, alpha=square_factor)
            if self.settings.l1:
                param.grad.copy_(
                    torch.where(param == 0, F.softshrink(param.grad, self.settings.l1), param.grad + self.settings.l1 * param.sign())
                )
                self.signs.append((param, torch.where(param == 0, -param.grad.sign(), param.sign())))

    @torch.no_grad()
    def after_update(self) -> None:
        """Stop the weights at 0 that crossed it, where there is L1; shorten the incoming weights of each unit to `max_norm`."""
        for param, sign in self.signs:
            param.mul_(param * sign > 0)  # a product, so that NaN stays
        if self.settings.max_norm is None:
            return
        for weight, is_transposed, groups in self.weights:
            if weight.grad is not None:
                # (groups, in / groups, out / groups, ...) where transposed, so that both the group and the unit stay
                units = weight.reshape(groups, -1, *weight.shape[1:]) if is_transposed else weight
                kept = (0, 2) if is_transposed else (0,)
                others = [axis for axis in range(units.ndim) if axis not in kept]
                norms = units.square().sum(others, keepdim=True).sqrt()
                shrink = (self.settings.max_norm / norms).clamp(max=1)
                weight.copy_((units * shrink).reshape(weight.shape))


def penalties_of(settings: TrainSettings, model: nn.Module) -> Penalties | None:
    """The penalties that `settings` name; None if there are none.

    Raises:
        UsageError: they are set with L-BFGS, whose line search needs the loss and the gradient to be those of one function.
    """
    asked = [name for name in ("l1", "l2", "l2_half", "max_norm", "max_grad_value") if getattr(settings, name)]
    if settings.optimizer == "lbfgs" and settings.max_grad_norm:
        asked.append("max_grad_norm")
    if settings.optimizer == "lbfgs" and asked:
        raise UsageError(f"{', '.join(asked)} cannot go with the optimizer lbfgs", "Use weight_decay, which is in its loss too.")
    return Penalties(settings, model) if asked else None
