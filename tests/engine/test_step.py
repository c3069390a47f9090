"""One update: the loss, its gradient, and what is left alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import UsageError
from striate.engine.losses import loss_of, refuse_weights
from striate.engine.optimizers import SGD, ParamGroup
from striate.engine.settings import TrainSettings
from striate.engine.step import StepRule, train_step
from striate.networks.modules.heads import Side


def plain_sgd(model: nn.Module) -> SGD:
    return SGD([ParamGroup("all", list(model.parameters()), 0.0)])


class TwoHeads(nn.Module):
    """Logits from a trunk, and two heads that count 0.3 and 0.5."""

    head_weights = (0.3, 0.5)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.main = nn.Linear(6, 5), nn.Linear(5, 3)
        self.heads = nn.ModuleList([nn.Linear(5, 3), nn.Linear(5, 3)])

    def forward(self, images: Tensor) -> Tensor:
        return self.main(self.trunk(images))

    def forward_with_heads(self, images: Tensor, labels: Tensor, second: Tensor | None = None) -> tuple[Tensor, tuple[Side, ...]]:
        x = self.trunk(images)
        heads = zip(self.heads, self.head_weights, strict=True)
        return self.main(x), tuple(Side(head(x), labels, weight, has_own_task=False) for head, weight in heads)


def batch_of(make_batches, *, features: int | None = None):
    batch = make_batches(1, 7).batches[0]
    return batch if features is None else batch._replace(images=batch.images.flatten(1)[:, :features])


@pytest.mark.row("000-19", "000-20")
def test_the_loss_is_minus_log_softmax_of_the_label_and_the_hits_are_counted_before_the_update(make_batches):
    """By hand: -log(e^z_y / sum e^z), its mean; the prediction is the argmax."""
    model = nn.Linear(6, 3).double()
    batch = batch_of(make_batches, features=6)
    batch = batch._replace(images=batch.images.double())
    logits = batch.images @ model.weight.detach().T + model.bias.detach()
    by_hand = [(row.exp().sum().log() - row[label]).item() for row, label in zip(logits, batch.labels, strict=True)]
    right = sum(max(range(3), key=row.tolist().__getitem__) == label for row, label in zip(logits, batch.labels.tolist(), strict=True))

    result = train_step(model, batch, plain_sgd(model), StepRule(loss_fn=F.cross_entropy), 0.1)

    assert result.loss.item() == pytest.approx(sum(by_hand) / 7, abs=1e-12)
    assert result.correct.item() == right
    assert result.grad_norm is None


def test_the_update_is_the_rate_against_the_gradient_by_hand(make_batches):
    """d loss / d W = mean over the batch of (softmax - one-hot) outer the features."""
    torch.manual_seed(3)
    model = nn.Linear(6, 3).double()
    before = model.weight.detach().clone()
    batch = batch_of(make_batches, features=6)
    batch = batch._replace(images=batch.images.double())
    errors = model(batch.images).softmax(1).detach() - F.one_hot(batch.labels, 3)  # (N, K)

    train_step(model, batch, plain_sgd(model), StepRule(loss_fn=F.cross_entropy), 0.1)

    torch.testing.assert_close(model.weight.detach(), before - 0.1 * errors.T @ batch.images / 7, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "map", "binary_cross_entropy", "mse", "l1", "huber"])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_picture_of_weight_3_counts_as_three_of_them(loss: str, parts: int):
    """Weights 1, 2, 0, 3 scaled to mean 1 give the mean over the pictures repeated so often, and its gradient."""
    torch.manual_seed(0)
    images, labels, times = torch.randn(4, 6).double(), torch.tensor([0, 2, 1, 1]), torch.tensor([1, 2, 0, 3])
    rule = StepRule(loss_fn=loss_of(TrainSettings(loss=loss)))
    models = [TwoHeads().double() for _ in range(2)]
    repeated = SimpleNamespace(images=images.repeat_interleave(times, 0), labels=labels.repeat_interleave(times, 0))
    weighted = SimpleNamespace(images=images, labels=labels, weights=times / times.double().mean())

    results = [
        train_step(model, batch, plain_sgd(model), rule, 0.1, parts=of)
        for model, batch, of in zip(models, (repeated, weighted), (1, parts), strict=True)
    ]

    assert results[0].loss.item() == pytest.approx(results[1].loss.item(), abs=1e-12)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("settings", [{"loss": "hinge"}, {"loss": "nll"}, {"class_weights": "balanced"}])
def test_losses_that_cannot_weigh_pictures_say_so(settings: dict):
    with pytest.raises(UsageError, match=r"weights of (its )?pictures"):
        refuse_weights(TrainSettings(**settings))


def test_heads_add_their_share_to_the_loss_and_to_the_gradient(make_batches):
    model, batch = TwoHeads(), batch_of(make_batches, features=6)
    x = model.trunk(batch.images)
    parts = [F.cross_entropy(head(x), batch.labels) for head in (model.main, *model.heads)]
    expected = parts[0] + 0.3 * parts[1] + 0.5 * parts[2]
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    before = [param.detach().clone() for param in model.parameters()]

    result = train_step(model, batch, plain_sgd(model), StepRule(loss_fn=F.cross_entropy), 0.1)

    torch.testing.assert_close(result.loss, expected.detach())
    for param, old, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(param.detach(), old - 0.1 * gradient)


def test_the_mode_is_left_as_it_is(make_batches, make_model):
    for training in (True, False):
        model = make_model().train(training)
        train_step(model, batch_of(make_batches), plain_sgd(model), StepRule(loss_fn=F.cross_entropy), 0.1)

        assert all(part.training is training for part in model.modules())


def test_gradients_are_cut_to_the_norm_that_is_asked_and_the_norm_before_is_told(make_batches, make_model):
    model, batch = make_model(), batch_of(make_batches)
    whole = torch.cat(
        [g.flatten() for g in torch.autograd.grad(F.cross_entropy(model(batch.images), batch.labels), list(model.parameters()))]
    )
    before = torch.cat([param.detach().flatten().clone() for param in model.parameters()])

    result = train_step(model, batch, plain_sgd(model), StepRule(loss_fn=F.cross_entropy, max_grad_norm=0.01), 1.0)

    moved = torch.cat([param.detach().flatten() for param in model.parameters()]) - before
    torch.testing.assert_close(result.grad_norm, whole.norm())
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


class DtypeOfProducts(nn.Module):
    """Remembers the dtype that its product came in."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.linear(images)
        self.seen = logits.dtype
        return logits


@pytest.mark.parametrize(("autocast", "dtype"), [(None, torch.float32), (torch.bfloat16, torch.bfloat16)])
def test_products_are_in_bfloat16_only_when_asked_and_the_loss_never(make_batches, autocast, dtype):
    model = DtypeOfProducts()

    result = train_step(
        model, batch_of(make_batches, features=6), plain_sgd(model), StepRule(loss_fn=F.cross_entropy, autocast=autocast), 0.1
    )

    assert model.seen == dtype
    assert result.loss.dtype == torch.float32
    assert model.linear.weight.dtype == model.linear.weight.grad.dtype == torch.float32


def test_labels_may_be_shares_of_classes(make_batches):
    """As mixed pictures have them; a hit is then the class with the largest share."""
    models, batch = [nn.Linear(6, 3) for _ in range(2)], batch_of(make_batches, features=6)
    models[1].load_state_dict(models[0].state_dict())
    shares = F.one_hot(batch.labels, 3).float()

    by_index = train_step(models[0], batch, plain_sgd(models[0]), StepRule(loss_fn=F.cross_entropy), 0.1)
    by_share = train_step(models[1], batch._replace(labels=shares), plain_sgd(models[1]), StepRule(loss_fn=F.cross_entropy), 0.1)

    torch.testing.assert_close(by_share.loss, by_index.loss)
    assert by_share.correct == by_index.correct


@pytest.mark.row("000-4")
def test_the_variance_of_a_gradient_falls_as_one_over_the_batch():
    """Batches drawn with replacement: twice the batch, half the variance; within 20 % over 400 draws."""
    generator = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(300, 5, generator=generator), torch.randint(3, (300,), generator=generator)
    weight = torch.randn(3, 5, generator=generator)
    errors = (rows @ weight.T).softmax(1) - F.one_hot(labels, 3)  # (300, K)
    of_each = errors[:, :, None] * rows[:, None, :]  # (300, K, features): the gradient of each row's own loss

    def gradient(places: Tensor) -> Tensor:
        probe = weight.clone().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(rows[places] @ probe.T, labels[places]), probe)[0]

    for size in (4, 8, 16):
        draws = torch.stack([gradient(torch.randint(300, (size,), generator=generator)) for _ in range(400)])
        assert draws.var(0).sum() == pytest.approx(of_each.var(0, correction=0).sum().item() / size, rel=0.2)
