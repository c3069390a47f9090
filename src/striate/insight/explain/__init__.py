"""Explanations of what a network learned and looks at, for any module that maps images to logits."""

from striate.insight.explain.embedding import Embedding, check_installed, embedded
from striate.insight.explain.gradients import (
    deconvnet,
    gradient,
    guided_backprop,
    has_relu,
    input_x_gradient,
    integrated_gradients,
    smooth_grad,
)
from striate.insight.explain.inside import as_pictures, features, last_map, maps_of, outputs_of, part, taking_pictures
from striate.insight.explain.kernels import convolutions, edge_selectivity, kernel_norms, kernel_pictures
from striate.insight.explain.maps import grad_cam, grad_cam_plus_plus, occlusion, probabilities
from striate.insight.explain.methods import COARSE, METHODS, Method, attribute, trust_in
from striate.insight.explain.sanity import deletion_insertion, heat_of, on_images, randomisation_score, randomised, rank_correlation
from striate.insight.explain.units import favourite_pictures, most_exciting, responses_by_class

__all__ = [
    "COARSE",
    "METHODS",
    "Embedding",
    "Method",
    "as_pictures",
    "attribute",
    "check_installed",
    "convolutions",
    "deconvnet",
    "deletion_insertion",
    "edge_selectivity",
    "embedded",
    "favourite_pictures",
    "features",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "guided_backprop",
    "has_relu",
    "heat_of",
    "input_x_gradient",
    "integrated_gradients",
    "kernel_norms",
    "kernel_pictures",
    "last_map",
    "maps_of",
    "most_exciting",
    "occlusion",
    "on_images",
    "outputs_of",
    "part",
    "probabilities",
    "randomisation_score",
    "randomised",
    "rank_correlation",
    "responses_by_class",
    "smooth_grad",
    "taking_pictures",
    "trust_in",
]
