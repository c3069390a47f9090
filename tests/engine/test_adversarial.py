"""Training against an attack: equal to the closed form on linear networks, and to an update by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import UsageError
from striate.core.seeds import mixed, torch_seed
from striate.engine.adversarial import Attacker, attacker_of, examiner_of, robust_accuracy
from striate.engine.epochs import score_of
from striate.engine.fit import Training, fit
from striate.engine.settings import TrainSettings

HEIGHT, WIDTH = 5, 7
GREY = torch.randint(60, 196, (6, HEIGHT, WIDTH, 2), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 1, 0, 1, 0])
PLAIN = {"epochs": 2, "schedule": "constant", "warmup_epochs": 0, "precision": "float32", "device": "cpu", "weight_decay": 0.0}


class Batch(NamedTuple):
    """As the engine takes it."""

    images: Tensor
    labels: Tensor


class Fixed(list[Batch]):
    """The same batches in every epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        return iter(self[start:])


class Pixels(nn.Module):
    """A network behind a normalization: pictures (N, H, W, C) in [0, 255] to logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.3)


def linear() -> Pixels:
    with torch_seed(0):
        return Pixels(nn.Sequential(nn.Flatten(), nn.Linear(2 * HEIGHT * WIDTH, 2)))


def bent(dropout: float = 0.0) -> Pixels:
    with torch_seed(3):
        layers = (nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(6 * 3 * 5, 3))
        return Pixels(nn.Sequential(*layers))


def uphill(model: Pixels) -> Tensor:
    """(N, H, W, C): where the loss of each picture grows, w_other - w_label; a linear network of two classes has it everywhere."""
    weight = model.network[1].weight.detach().view(2, 2, HEIGHT, WIDTH).permute(0, 2, 3, 1)
    return weight[1 - LABELS] - weight[LABELS]


def settings(**chosen: object) -> TrainSettings:
    return TrainSettings(**{**PLAIN, "batch_size": 6, "adversarial": "pgd", "adversarial_eps": 0.05, **chosen})


def attacker(**chosen: object) -> Attacker:
    made = attacker_of(settings(**chosen), F.cross_entropy)
    assert made is not None
    return made


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_on_a_linear_network_the_climb_ends_in_a_corner_of_the_box_wherever_it_began(name):
    """Steps of 2.5 eps together reach each corner from everywhere; one of 1.25 eps only from its own side, so it is looked at there."""
    model, eps = linear(), 0.05 * 255

    found = attacker(adversarial=name)(model, GREY, LABELS)

    corner = GREY + eps * uphill(model).sign()
    assert ((found - GREY) * uphill(model).sign() > 0).all()
    if name == "pgd":
        torch.testing.assert_close(found, corner)
    else:
        share = float((found == corner).float().mean())  # a start is uniform in [-eps, eps]: from above -0.25 eps a step arrives
        assert share == pytest.approx(0.625, abs=0.08)


def test_in_l2_the_climb_ends_on_the_sphere_along_the_difference_of_the_weights():
    model, eps = linear(), 0.3 * 255

    found = attacker(adversarial_norm="l2", adversarial_eps=0.3, adversarial_steps=60)(model, GREY, LABELS)

    way = uphill(model)
    along = way / way.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    changes = (found - GREY).flatten(1)
    torch.testing.assert_close(changes.norm(dim=1), torch.full((6,), eps), rtol=1e-3, atol=0)
    assert (F.cosine_similarity(changes, along.flatten(1)) > 0.97).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_pixels_stay_pixels_within_eps_and_the_network_stays_as_it_was(name, norm):
    model = bent(dropout=0.5).train()
    model.network[1].eval()  # frozen
    wild = torch.randint(0, 256, (4, HEIGHT, WIDTH, 2), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    before = {key: value.clone() for key, value in model.state_dict().items()}

    found = attacker(adversarial=name, adversarial_eps=0.2, adversarial_norm=norm)(model, wild, torch.tensor([0, 2, 1, 1]))

    change = (found - wild).flatten(1)
    size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert (size <= 0.2 * 255 + 1e-3).all() and (size > 1).all()
    assert found.min() >= 0 and found.max() <= 255
    assert model.network.training and not model.network[1].training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_loss_on_what_is_learned_from_is_larger_than_on_the_pictures():
    model = bent()
    labels = torch.tensor([0, 1, 2, 0, 1, 2])

    with torch_seed(5):
        found = attacker(adversarial_eps=0.1)(model, GREY, labels)
        near = attacker(adversarial_eps=0.01)(model, GREY, labels)

    model.eval()
    assert F.cross_entropy(model(found), labels) > F.cross_entropy(model(near), labels) > F.cross_entropy(model(GREY), labels)


def test_an_update_is_that_on_pictures_attacked_by_hand():
    """Seven steps of sign gradients from torch's generator as step 4 seeds it, then gradient descent on the result."""
    ours, theirs = bent(), bent()
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    chosen = settings(seed=11, learning_rate=0.1, optimizer="sgd", momentum=0.0, nesterov=False)
    training = Training(ours.train(), [Batch(GREY, labels)] * 9, chosen, None, None)
    training.step = 3

    result = training.update(Batch(GREY, labels))

    eps, clean = 0.05 * 255, GREY.float()
    with torch_seed(mixed(11, 4)):
        places = (clean + eps * (torch.rand(GREY.shape) * 2 - 1)).clamp(0, 255)
    theirs.eval()
    for _ in range(7):
        places = places.detach().requires_grad_()
        F.cross_entropy(theirs(places), labels).backward()
        places = torch.max(torch.min(places + 2.5 / 7 * eps * places.grad.sign(), clean + eps), clean - eps).clamp(0, 255)
    theirs.zero_grad()
    loss = F.cross_entropy(theirs.train()(places.detach()), labels)
    loss.backward()
    torch.testing.assert_close(result.loss, loss.detach(), rtol=1e-5, atol=1e-6)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.detach(), (other - 0.1 * other.grad).detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.network[1].running_mean, theirs.network[1].running_mean)  # one look, at what is learned from


def test_a_batch_in_parts_gives_the_update_of_the_whole():
    weights = []
    for parts in (1, 2, 3):
        model = linear()
        batch = Batch(GREY, LABELS)
        Training(model, [batch] * 9, settings(accumulate=parts, learning_rate=0.1), None, None).update(batch)
        weights.append(model.network[1].weight.detach().clone())

    torch.testing.assert_close(weights[1], weights[0])
    torch.testing.assert_close(weights[2], weights[0])
    assert not torch.equal(weights[0], linear().network[1].weight)


@pytest.mark.parametrize("more", [{"precision": "bfloat16"}, {"ema": 0.9}, {"smoothing": 0.1}, {"swa_start": 0.5}, {"loss": "focal"}])
def test_it_goes_together_with_other_settings_and_depends_on_the_seed_alone(more):
    def trained(seed: int, noise: int) -> list[Tensor]:
        torch.manual_seed(noise)
        model = bent(dropout=0.2)
        batches = Fixed([Batch(GREY, torch.tensor([0, 1, 2, 0, 1, 2])), Batch(GREY.flip(0), torch.tensor([2, 1, 0, 2, 1, 0]))])
        rows = [event.row for event in fit(model, batches, settings(seed=seed, **more), val_batches=batches) if event.row]
        assert all(row.val_robust_accuracy is not None for row in rows)
        return [value.clone() for value in model.state_dict().values()]

    first, again, other = trained(1, 5), trained(1, 6), trained(2, 5)

    assert all(value.isfinite().all() for value in first)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_shares_of_classes_are_attacked_too():
    """As mixed pictures have them: the slope is that of the mixed loss."""
    model = linear()
    certain = F.one_hot(LABELS, 2).float()

    torch.testing.assert_close(attacker()(model, GREY, 0.7 * certain + 0.3 * certain.flip(1)), attacker()(model, GREY, LABELS))


def test_robust_accuracy_is_the_share_whose_lead_is_larger_than_what_the_attack_can_take():
    """A linear network loses eps / 0.3 times the sum of |w_other - w_label| of its lead, and no more."""
    model = linear()
    with torch.no_grad():
        model.network[1].bias.copy_(torch.tensor([0.3, -0.3]))
        logits = model(GREY)
    lead = logits.gather(1, LABELS[:, None])[:, 0] - logits.gather(1, 1 - LABELS[:, None])[:, 0]
    cost = uphill(model).abs().sum((1, 2, 3)) / 0.3
    eps = float((lead / cost)[lead > 0].median()) + 1e-4  # some of those that are right fall
    examiner = examiner_of(settings(adversarial="fgsm", adversarial_eps=eps), F.cross_entropy)
    assert examiner is not None

    share = robust_accuracy(model, Fixed([Batch(GREY[:4], LABELS[:4]), Batch(GREY[4:], LABELS[4:])]), examiner, seed=3)

    expected = float((lead > eps * cost).float().mean())
    assert share == pytest.approx(expected) and 0 < expected < float((lead > 0).float().mean())


def test_the_epoch_that_withstands_pgd_best_is_the_best_one():
    batches = Fixed([Batch(GREY, LABELS)])
    rows = [event.row for event in fit(linear(), batches, settings(adversarial="fgsm"), val_batches=batches) if event.row]

    assert score_of(rows[0]._replace(val_robust_accuracy=0.2, val_accuracy=0.9))[0] == 0.2
    assert score_of(rows[0]._replace(val_robust_accuracy=None, val_accuracy=0.9))[0] == 0.9
    plain = fit(linear(), batches, settings(adversarial=None), val_batches=batches)
    assert all(event.row.val_robust_accuracy is None for event in plain if event.row)


def test_bad_values_are_refused_and_said():
    for name, value in (("adversarial_eps", 0), ("adversarial_eps", 1.5), ("adversarial_steps", 0), ("adversarial", "deepfool")):
        with pytest.raises(ValidationError, match=name):
            settings(**{name: value})
    assert attacker_of(settings(adversarial=None), F.cross_entropy) is None
    wanted = r"adversarial training changes uint8 pictures \(N, H, W, C\), got torch.float32 \(6, 5, 7, 2\)"
    with pytest.raises(UsageError, match=wanted):
        attacker()(linear(), GREY.float(), LABELS)
    with pytest.raises(UsageError, match=wanted):
        list(fit(linear(), Fixed([Batch(GREY.float(), LABELS)]), settings(adversarial="fgsm")))
