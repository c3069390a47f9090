"""Adversarial attacks and corruptions, for any module that maps pixels in [0, 1] to logits."""

from striate.insight.attack.bounded import fgsm, pgd, random_noise
from striate.insight.attack.corruptions import corrupted
from striate.insight.attack.curves import accuracy_curve, answers_of, bounded_attack, distance_curve, distances_to_fool
from striate.insight.attack.inside import PixelModel
from striate.insight.attack.least import carlini_wagner, deepfool
from striate.insight.attack.moves import flipped, moved_in_time, rotated, shifted

__all__ = [
    "PixelModel",
    "accuracy_curve",
    "answers_of",
    "bounded_attack",
    "carlini_wagner",
    "corrupted",
    "deepfool",
    "distance_curve",
    "distances_to_fool",
    "fgsm",
    "flipped",
    "moved_in_time",
    "pgd",
    "random_noise",
    "rotated",
    "shifted",
]
