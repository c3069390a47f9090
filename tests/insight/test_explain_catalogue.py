"""Every method on every classifier of the catalogue, and on networks of other libraries; Grad-CAM and saliency equal to Captum's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from captum.attr import LayerGradCam, Saliency
from torch import nn

import striate
from striate.core.errors import ShapeError
from striate.insight import explain

QUICK = ("lenet5", "lenet5_paper", "cifar_notes", "nin_cifar", "resnet20_cifar", "resnet20v2_keras", "densenet_bc_40_12")
FOREIGN = ("timm:resnet10t", "timm:convnext_atto", "timm:vit_tiny_patch16_224", "torchvision:squeezenet1_1", "torchvision:swin_t")

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")


def cam_of_tokens(model: nn.Module, layer: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Grad-CAM of the tokens after the class token, (N, T - 1), which Captum does not know."""
    seen = []
    handle = layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
    total = model(images).gather(1, classes[:, None]).sum()
    handle.remove()
    (slopes,) = torch.autograd.grad(total, seen[0])
    return (slopes[:, 1:].mean(1, keepdim=True) * seen[0][:, 1:]).sum(2).clamp(min=0).detach()


def check(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Each method gives finite maps of the right shape; two of them Captum's; the model is left as it was."""
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    classes = explain.probabilities(model, images).argmax(1)
    model.train()

    layer = explain.part(model, explain.last_map(model, images))
    cams = [cam(model, layer, images, classes) for cam in (explain.grad_cam, explain.grad_cam_plus_plus)]
    check_gradients(model, images, classes, cams)
    if explain.outputs_of(model, layer, images).ndim == 4:
        expected = LayerGradCam(model, layer).attribute(images, classes, relu_attributions=True)[:, 0].detach()
    else:
        expected = cam_of_tokens(model, layer, images, classes).reshape(cams[0].shape)
    scale = max(float(expected.abs().max()), 1e-12)
    torch.testing.assert_close(cams[0] / scale, expected / scale, rtol=1e-3, atol=1e-4)


def check_gradients(model: nn.Module, images: torch.Tensor, classes: torch.Tensor, cams: Sequence[torch.Tensor] = ()) -> None:
    """The methods that need no feature maps, beside those that do."""
    shape = images.shape[1:]
    gradient = explain.gradient(model, images, classes)
    found = [
        *cams,
        explain.input_x_gradient(model, images, classes),
        explain.guided_backprop(model, images, classes),
        explain.deconvnet(model, images, classes),
        explain.smooth_grad(model, images, classes, num_samples=1),
        explain.integrated_gradients(model, images, classes, num_steps=1),
        explain.occlusion(model, images, classes, window=shape[1:], stride=shape[1:]),
    ]

    assert all(map_.isfinite().all() and len(map_) == 2 for map_ in (gradient, *found))
    assert gradient.abs().max() > 0 and found[-1].shape == images[:, 0].shape and len({cam.shape for cam in cams}) <= 1
    assert all(part.training for part in model.modules()) and all(weight.grad is None for weight in model.parameters())
    assert not any(part._forward_hooks for part in model.modules())
    model.eval()
    expected = Saliency(model).attribute(images, classes)
    torch.testing.assert_close(gradient.abs() / gradient.abs().max(), expected / gradient.abs().max(), rtol=1e-3, atol=1e-4)


@pytest.mark.row("004-18")
@pytest.mark.classifiers(*QUICK)
def test_every_method_works_on_every_classifier_of_the_catalogue(name: str, small_network: Callable[..., striate.Network]):
    network = small_network(name, least=64)
    if any(row.layer.role == "conv" for row in network.rows):
        check(network.build(), network.input_shape)
        return
    model, images = network.build(), torch.randn(2, *network.input_shape)
    with pytest.raises(ShapeError, match="no part gives a feature map"):
        explain.last_map(model, images)
    check_gradients(model.train(), images, torch.tensor([0, 1]))


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FOREIGN)
def test_every_method_works_on_networks_of_other_libraries(name: str):
    size = 64 if name in ("timm:resnet10t", "timm:convnext_atto") else 224
    network = striate.network(name, num_classes=7, input_size=size)
    check(network.build(), network.input_shape)
