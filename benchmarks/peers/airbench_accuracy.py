"""The published recipe to 94 % on CIFAR-10 as a plain loop on PyTorch: `airbench_accuracy FILE EPOCHS SEED`, for `time_to_accuracy`.

Source: Jordan, 2024, arXiv:2404.00498, sections 3.1 to 3.7 (airbench94).
Departs from the source: on processors, channels last, in bfloat16 by autocast where that is fast and else in float32, where it was half
precision on a GPU; 6 views are looked at after the last epoch alone, one before.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from clocked import arrays_of, said
from torch import nn
from torch.nn import functional as F

from striate.core.devices import is_bfloat16_fast

if TYPE_CHECKING:
    from torch import Tensor

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
BATCH_SIZE, SHIFT, SMOOTHING, SCALE = 1024, 2, 0.2, 1 / 9  # SCALE of the logits
MOMENTUM, RATE, DECAY, BIAS_SCALE = 0.85, 11.5, 0.0153, 64.0
KILOSTEP = 1024 * (1 + 1 / (1 - MOMENTUM))  # a rate of RATE is of so many pictures' summed loss
WARM, LAST = 0.23, 0.07  # share of the updates until the peak rate, which begins at 0.2; share of the rate at the end
WHITENED_EPOCHS, LOOKED_AT, EPSILON = 3, 5_000, 5e-4
AVERAGED_STEPS, AVERAGED = 5, 0.95**5


def main() -> None:
    """Train, and say the accuracy after each epoch."""
    torch.manual_seed(int(sys.argv[3]))
    train, labels, test, test_labels = arrays_of(sys.argv[1])
    pictures, tests = (normalized(torch.from_numpy(each)) for each in (train, test))
    labels, test_labels = (torch.from_numpy(each).long() for each in (labels, test_labels))
    half = is_bfloat16_fast(torch.device("cpu"))
    model = network(whitening(pictures[:LOOKED_AT])).to(memory_format=torch.channels_last)
    batch_size = min(BATCH_SIZE, len(pictures))
    num_steps = math.ceil(float(sys.argv[2]) * (len(pictures) // batch_size))
    optimizer = torch.optim.SGD(groups_of(model), momentum=MOMENTUM, nesterov=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: float(np.interp(step, [0, int(WARM * num_steps), num_steps], [0.2, 1.0, LAST]))
    )
    mean = {name: tensor.clone() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    mirrored = torch.where((torch.rand(len(pictures)) < 0.5)[:, None, None, None], pictures.flip(3), pictures)
    step = epoch = 0
    while step < num_steps:
        model[0].bias.requires_grad_(epoch < WHITENED_EPOCHS)
        model.train()
        images = shifted(mirrored.flip(3) if epoch % 2 else mirrored)
        order = torch.randperm(len(images))
        for places in order.split(batch_size):
            if len(places) < batch_size or step == num_steps:
                break
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = model(images[places].contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), labels[places], label_smoothing=SMOOTHING, reduction="sum")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step % AVERAGED_STEPS == 0:
                averaged(model, mean, AVERAGED * (step / num_steps) ** 3)
        epoch += 1
        if step == num_steps:
            averaged(model, mean, 1.0)
        said(epoch, accuracy(model, tests, test_labels, half=half, views=6 if step == num_steps else 1))


def network(filters: Tensor) -> nn.Sequential:
    """Whitening of 2 x 2 patches, three groups of two convolutions, the largest of what is left of a map, a dense layer."""
    whitened = nn.Conv2d(3, len(filters), 2)
    whitened.weight = nn.Parameter(filters, requires_grad=False)
    parts: list[nn.Module] = [whitened, nn.GELU()]
    for before, width in ((len(filters), 64), (64, 256), (256, 256)):
        parts += [convolution(before, width), nn.MaxPool2d(2), norm(width), nn.GELU()]
        parts += [convolution(width, width), norm(width), nn.GELU()]
    return nn.Sequential(*parts, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False), Scaled())


class Scaled(nn.Module):
    """A ninth of the logits."""

    def forward(self, logits: Tensor) -> Tensor:
        """(N, K) -> (N, K)."""
        return logits * SCALE


def convolution(before: int, width: int) -> nn.Conv2d:
    """3 x 3 without a bias, the first of whose filters hand the inputs on."""
    made = nn.Conv2d(before, width, 3, padding="same", bias=False)
    nn.init.dirac_(made.weight.data[:before])
    return made


def norm(width: int) -> nn.BatchNorm2d:
    """Batch normalization that learns no scale."""
    made = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
    made.weight.requires_grad = False
    return made


def whitening(images: Tensor) -> Tensor:
    """Filters (24, 3, 2, 2): the directions in which patches vary, each at unit deviation, and their negatives."""
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)  # (patches, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + EPSILON).sqrt()).T.flip(0).reshape(12, 3, 2, 2)  # the largest first
    return torch.cat((filters, -filters))


def groups_of(model: nn.Module) -> list[dict[str, object]]:
    """The biases of the norms, which learn faster, and all else; the decay is the same share an update of both."""
    rate, decay = RATE / KILOSTEP, DECAY * BATCH_SIZE / KILOSTEP
    biases = [part.bias for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    kept = {id(bias) for bias in biases}
    others = [weight for weight in model.parameters() if weight.requires_grad and id(weight) not in kept]
    fast = rate * BIAS_SCALE
    return [{"params": biases, "lr": fast, "weight_decay": decay / fast}, {"params": others, "lr": rate, "weight_decay": decay / rate}]


def averaged(model: nn.Module, mean: dict[str, Tensor], keep: float) -> None:
    """Move the mean of the weights towards them, and put them there."""
    for name, tensor in model.state_dict().items():
        if name in mean:
            mean[name].lerp_(tensor, 1 - keep)
            tensor.copy_(mean[name])


def normalized(images: Tensor) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) float."""
    return ((images / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def shifted(images: Tensor) -> Tensor:
    """Each picture moved at random by up to two pixels, into its mirror image."""
    padded, side = F.pad(images, (SHIFT,) * 4, mode="reflect"), images.shape[3]
    places = torch.randint(0, 2 * SHIFT + 1, (2, len(images)))
    moved = torch.empty_like(images)
    for down in range(2 * SHIFT + 1):
        for right in range(2 * SHIFT + 1):
            chosen = (places[0] == down) & (places[1] == right)
            moved[chosen] = padded[chosen, :, down : down + side, right : right + side]
    return moved


@torch.inference_mode()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor, *, half: bool, views: int) -> float:
    """The share of right answers; by 6 views: as it is, and a pixel up left and down right, each mirrored too."""
    model.eval()
    right = 0
    for start in range(0, len(images), 1_000):
        batch, side = images[start : start + 1_000].contiguous(memory_format=torch.channels_last), images.shape[3]
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(batch).float()
            if views == 6:
                logits = 0.5 * (logits + model(batch.flip(3)).float())
                padded = F.pad(batch, (1,) * 4, mode="reflect")
                corners = [padded[:, :, :side, :side], padded[:, :, 2:, 2:]]
                moved = sum(model(view).float() + model(view.flip(3)).float() for view in corners) / 4
                logits = 0.5 * (logits + moved)
        right += int((logits.argmax(1) == labels[start : start + 1_000]).sum())
    return right / len(images)


if __name__ == "__main__":
    main()
