"""Attributions and heat maps: equal to Captum's where it has them, to the formula by hand where not; and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop, InputXGradient, IntegratedGradients, LayerGradCam, NoiseTunnel, Occlusion, Saliency
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.insight import explain
from striate.insight.explain.grids import as_map, patch_grid

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")  # Captum tells what it does

IMAGES = torch.randn(2, 3, 12, 16, generator=torch.Generator().manual_seed(1))
CLASSES = torch.tensor([1, 4])
METHODS = [
    explain.gradient,
    explain.input_x_gradient,
    explain.integrated_gradients,
    explain.guided_backprop,
    explain.deconvnet,
    explain.smooth_grad,
    explain.occlusion,
]


def small(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """A network with everything that an attribution meets; its batch norms have statistics of their own."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        activation(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        activation(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8 * 4 * 6, 7),
        activation(),
        nn.Linear(7, 5),
    )
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    return model


def test_grad_cam_equals_the_closed_form():
    """With a mean-pooled linear head, Grad-CAM is (w_k . A) / (h w) by hand."""
    torch.manual_seed(0)
    features, head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)
    model = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

    heat = explain.grad_cam(model, features, IMAGES, CLASSES)

    expected = torch.einsum("nc,nchw->nhw", head.weight[CLASSES], features(IMAGES)) / (12 * 16)
    torch.testing.assert_close(heat, expected.clamp(min=0))
    assert all(p.grad is None for p in model.parameters())
    assert model.training


@pytest.mark.parametrize("place", [0, 2, 3, 5])
def test_grad_cam_equals_captums(place: int):
    model = small().eval()

    largest = 0.0
    for target in range(5):
        classes = torch.tensor([target, 4 - target])
        heat = explain.grad_cam(model, model[place], IMAGES, classes)
        expected = LayerGradCam(model, model[place]).attribute(IMAGES, classes, relu_attributions=True)
        torch.testing.assert_close(heat, expected[:, 0].detach())
        largest = max(largest, float(heat.max()))
    assert largest > 0


def test_grad_cam_plus_plus_equals_the_papers_sums_written_as_loops():
    model = small().eval()

    heat = explain.grad_cam_plus_plus(model, model[5], IMAGES, CLASSES)

    for n in range(2):
        maps = model[:6](IMAGES[n : n + 1]).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(model[6:](maps)[0, CLASSES[n]], maps)
        expected = torch.zeros(heat.shape[1:])
        for c in range(8):
            weight = 0.0
            total = sum(float(value) for value in maps.detach()[0, c].flatten())
            for slope in map(float, slopes[0, c].flatten()):
                below = 2 * slope**2 + total * slope**3
                weight += (slope**2 / below if below else 0.0) * max(0.0, slope)
            expected += weight * maps[0, c].detach()
        torch.testing.assert_close(heat[n], expected.clamp(min=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_gradients_equal_captums(activation: Callable[[], nn.Module]):
    model = small(activation).eval()

    torch.testing.assert_close(explain.gradient(model, IMAGES, CLASSES).abs(), Saliency(model).attribute(IMAGES, CLASSES))
    torch.testing.assert_close(explain.input_x_gradient(model, IMAGES, CLASSES), InputXGradient(model).attribute(IMAGES, CLASSES))
    expected = IntegratedGradients(model).attribute(IMAGES, torch.ones_like(IMAGES), CLASSES, n_steps=20).float()
    found = explain.integrated_gradients(model, IMAGES, CLASSES, baseline=torch.ones(1, 3, 12, 16), num_steps=20)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations")
@pytest.mark.parametrize(("method", "captums"), [(explain.guided_backprop, GuidedBackprop), (explain.deconvnet, Deconvolution)])
def test_backward_rules_equal_captums(method: Callable[..., Tensor], captums: type):
    model = small().eval()

    found = method(model, IMAGES, CLASSES)

    torch.testing.assert_close(found, captums(model).attribute(IMAGES.clone().requires_grad_(), CLASSES).detach())
    assert not torch.allclose(found, explain.gradient(model, IMAGES, CLASSES))


@pytest.mark.parametrize("relu", [lambda x: F.relu(x, inplace=True), torch.relu, lambda x: x.relu_(), nn.ReLU(inplace=True)])
@pytest.mark.parametrize("method", [explain.guided_backprop, explain.deconvnet])
def test_backward_rules_hold_however_a_relu_is_written(method: Callable[..., Tensor], relu: Callable[[Tensor], Tensor]):
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = small()

        def forward(self, x: Tensor) -> Tensor:
            for part in self.parts:
                x = relu(x) if isinstance(part, nn.ReLU) else part(x)
            return x

    torch.testing.assert_close(method(Written(), IMAGES, CLASSES), method(small(), IMAGES, CLASSES))


@pytest.mark.parametrize("relu6", [nn.ReLU6(), nn.ReLU6(inplace=True), F.relu6, lambda x: F.hardtanh(x, 0.0, 6.0)])
@pytest.mark.parametrize(("method", "expected"), [(explain.guided_backprop, [0, 0, 3, 0]), (explain.deconvnet, [2, 0, 3, 0])])
def test_backward_rules_hold_for_a_relu_that_ends_at_6(method: Callable[..., Tensor], expected: list[float], relu6: nn.Module):
    """Values below 0, between and above 6, whose slopes from above are 2, -1, 3 and 4."""

    class Written(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return relu6(x * 1).flatten(1) @ torch.tensor([[2.0], [-1.0], [3.0], [4.0]])

    images = torch.tensor([[[[-1.0, 2.0, 3.0, 7.0]]]])
    torch.testing.assert_close(method(Written(), images, torch.tensor([0])).flatten(), torch.tensor(expected).float())


def test_integrated_gradients_add_up_to_the_difference_of_logits():
    model = small().eval()

    found = explain.integrated_gradients(model, IMAGES, CLASSES, num_steps=300)

    logits = model(torch.cat([IMAGES, torch.zeros(1, 3, 12, 16)]))
    expected = logits[[0, 1], CLASSES] - logits[2, CLASSES]
    torch.testing.assert_close(found.sum((1, 2, 3)), expected.detach(), rtol=0.01, atol=0.002)


def test_smooth_grad_is_the_mean_gradient_of_noisy_copies():
    model = small().eval()

    found = explain.smooth_grad(model, IMAGES, CLASSES, num_samples=3, noise=0.2, seed=5)

    generator = torch.Generator().manual_seed(5)
    expected = torch.zeros_like(IMAGES)
    for _ in range(3):
        noise = torch.randn(3, 12, 16, generator=generator)
        for n in range(2):
            image = IMAGES[n] + 0.2 * (IMAGES[n].max() - IMAGES[n].min()) * noise
            image.requires_grad_()
            expected[n] += torch.autograd.grad(model(image[None])[0, CLASSES[n]], image)[0] / 3
    torch.testing.assert_close(found, expected)
    without = NoiseTunnel(Saliency(model)).attribute(IMAGES, nt_samples=2, stdevs=0.0, target=CLASSES, abs=False)
    torch.testing.assert_close(explain.smooth_grad(model, IMAGES, CLASSES, noise=0), without)


@pytest.mark.row("004-18")
@pytest.mark.parametrize(("window", "stride"), [((4, 4), (4, 4)), ((5, 3), (2, 3)), ((12, 16), (1, 1)), ((7, 7), (4, 5))])
def test_occlusion_equals_captums(window: tuple[int, int], stride: tuple[int, int]):
    model = small().eval()

    heat = explain.occlusion(model, IMAGES, CLASSES, window=window, stride=stride, fill=0.5, batch_size=3)

    expected = Occlusion(model).attribute(IMAGES, (3, *window), (3, *stride), baselines=0.5, target=CLASSES)
    torch.testing.assert_close(heat, expected[:, 0])


def test_probabilities_are_those_of_the_model_in_evaluation_mode():
    model = small()
    found = explain.probabilities(model, IMAGES, batch_size=1)
    torch.testing.assert_close(found, model.eval()(IMAGES).softmax(1).detach())


@pytest.mark.parametrize("method", METHODS)
def test_a_method_leaves_modes_gradients_hooks_randomness_and_images_as_they_were(method: Callable[..., Tensor]):
    model = small()
    model[1].eval()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    modes, images, state = [part.training for part in model.modules()], IMAGES.clone(), torch.get_rng_state()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}

    with torch.no_grad():
        first = method(model, images, CLASSES)
        second = method(model, images, CLASSES)

    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert first.isfinite().all() and not first.requires_grad and not images.requires_grad
    assert [part.training for part in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert not any(part._forward_hooks or part._backward_hooks or part._forward_pre_hooks for part in model.modules())
    assert torch.equal(images, IMAGES) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_is_explained_alike_alone_and_in_company(method: Callable[..., Tensor]):
    model = small()
    torch.testing.assert_close(method(model, IMAGES, CLASSES)[1:], method(model, IMAGES[1:], CLASSES[1:]), rtol=1e-4, atol=1e-6)


@pytest.mark.row("003-46")
def test_the_output_of_any_part_can_be_recorded():
    model = small().eval()
    torch.testing.assert_close(explain.outputs_of(model, explain.part(model, "4"), IMAGES), model[:5](IMAGES).detach())
    torch.testing.assert_close(explain.features(model, IMAGES), model[:10](IMAGES).detach())


def test_a_recorded_output_is_not_overwritten_by_what_follows():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    found = explain.outputs_of(model, model[0], IMAGES)
    torch.testing.assert_close(found, model[0](IMAGES).detach())
    assert (found < 0).any()


class Transformer(nn.Module):
    """Patches of 4 x 4, a class token before them, two blocks that mix the tokens; the logits are read from the class token, or all."""

    def __init__(self, *, reads_class: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, stride=4)
        self.blocks = nn.ModuleList(nn.ModuleDict({"norm": nn.LayerNorm(6), "mix": nn.MultiheadAttention(6, 2)}) for _ in range(2))
        self.norm, self.head, self.reads_class = nn.LayerNorm(6), nn.Linear(6, 5), reads_class

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)  # (N, h w, 6)
        tokens = torch.cat([torch.ones_like(tokens[:, :1]), tokens], 1)
        for block in self.blocks:
            normed = block["norm"](tokens).transpose(0, 1)  # (T, N, 6)
            tokens = tokens + block["mix"](normed, normed, normed)[0].transpose(0, 1)
        tokens = self.norm(tokens)
        return self.head(tokens[:, 0] if self.reads_class else tokens.mean(1))


def test_the_map_of_a_transformer_is_the_last_norm_whose_patches_are_read():
    images = torch.randn(2, 3, 12, 20)
    assert explain.last_map(Transformer(reads_class=False), images) == "norm"
    assert explain.last_map(Transformer(reads_class=True), images) == "blocks.1.norm"  # of the later ones the class token alone is read


def test_grad_cam_of_tokens_is_taken_on_the_grid_of_their_patches():
    torch.manual_seed(0)
    model, images, classes = Transformer(reads_class=False), torch.randn(2, 3, 12, 20), torch.tensor([1, 4])
    heat = explain.grad_cam(model, model.norm, images, classes)
    maps = explain.maps_of(model, model.norm, images)
    assert heat.shape == (2, 3, 5) and maps.shape == (2, 6, 3, 5)
    tokens = explain.outputs_of(model, model.norm, images)  # (2, 16, 6)
    for row in range(3):
        for column in range(5):  # a linear head on the mean of 16 tokens
            by_hand = (tokens[:, 1 + 5 * row + column] * model.head.weight[classes]).sum(1) / 16
            torch.testing.assert_close(heat[:, row, column], by_hand.clamp(min=0))
            torch.testing.assert_close(maps[:, :, row, column], tokens[:, 1 + 5 * row + column])


def test_maps_with_their_channels_last_are_turned_and_others_stay():
    last = torch.randn(2, 6, 10, 40)
    torch.testing.assert_close(as_map(last, (12, 20)), last.permute(0, 3, 1, 2))
    for output in (torch.randn(2, 40, 6, 10), torch.randn(2, 7, 4, 9), torch.randn(2, 11, 6), torch.randn(2, 5)):
        assert as_map(output, (12, 20)) is output
    assert [patch_grid(count, (224, 224)) for count in (196, 197, 198, 50, 201)] == [(14, 14), (14, 14), (14, 14), (7, 7), (14, 14)]


def test_the_last_map_is_the_one_before_the_pooling():
    assert explain.last_map(small(), IMAGES) == "6"  # dropout, which hands on the activation
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)), nn.Flatten(), nn.Linear(140, 2))
    assert explain.last_map(model, IMAGES) == "0.1"
    with pytest.raises(ShapeError, match="no part gives a feature map"):
        explain.last_map(nn.Sequential(nn.Flatten(), nn.Linear(576, 2)), IMAGES)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m: explain.gradient(m, IMAGES[0], CLASSES),
            r"images must be \(N, C, H, W\) .*, got torch.float32 \(3, 12, 16\)",
        ),
        (lambda m: explain.gradient(m, IMAGES, CLASSES[:1]), r"target_classes must be \(2,\), one per image, got \(1,\)"),
        (lambda m: explain.gradient(m, IMAGES, CLASSES + 1), r"target_classes must be in 0 to 4, got 2 to 5"),
        (lambda m: explain.gradient(m[:3], IMAGES, CLASSES), r"the model must give logits \(N, K\), gave \(2, 6, 12, 16\)"),
        (lambda m: explain.grad_cam(m, m[10], IMAGES, CLASSES), r"the layer must give a feature map \(N, C, h, w\), gave \(2, 5\)"),
        (lambda m: explain.grad_cam(m, nn.ReLU(), IMAGES, CLASSES), "the layer ReLU does not run when the model does"),
        (lambda m: explain.occlusion(m, IMAGES, CLASSES, window=3, stride=4), "stride at most window, got 3 and 4"),
        (lambda m: explain.smooth_grad(m, IMAGES, CLASSES, noise=-1.0), "noise at least 0, got 25 and -1.0"),
        (lambda m: explain.integrated_gradients(m, IMAGES, CLASSES, num_steps=0), "num_steps must be at least 1, got 0"),
        (lambda m: explain.part(m, "99"), "unknown layer '99'"),
    ],
)
def test_errors_say_what_was_wanted(call: Callable[[nn.Module], object], words: str):
    with pytest.raises((ShapeError, UsageError, UnknownNameError), match=words):
        call(small())
