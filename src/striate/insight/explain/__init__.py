"""Seeing what a network learned and what it looks at, from outside, on any module that maps images to logits."""

from striate.insight.explain.gradients import deconvnet, gradient, guided_backprop, input_x_gradient, integrated_gradients, smooth_grad
from striate.insight.explain.inside import features, last_map, outputs_of, part
from striate.insight.explain.maps import grad_cam, grad_cam_plus_plus, occlusion, probabilities

__all__ = [
    "deconvnet",
    "features",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "guided_backprop",
    "input_x_gradient",
    "integrated_gradients",
    "last_map",
    "occlusion",
    "outputs_of",
    "part",
    "probabilities",
    "smooth_grad",
]
