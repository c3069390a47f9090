"""Adversarial attacks and corruptions, for any module that maps pixels in [0, 1] to logits."""

from striate.insight.attack.bounded import fgsm, pgd, random_noise
from striate.insight.attack.corruptions import corrupted, rotated
from striate.insight.attack.curves import accuracy_curve, answers_of, bounded_attack, distances_to_fool
from striate.insight.attack.least import carlini_wagner, deepfool

__all__ = [
    "accuracy_curve",
    "answers_of",
    "bounded_attack",
    "carlini_wagner",
    "corrupted",
    "deepfool",
    "distances_to_fool",
    "fgsm",
    "pgd",
    "random_noise",
    "rotated",
]
