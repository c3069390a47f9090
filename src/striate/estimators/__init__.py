"""Networks behind scikit-learn's `fit` and `predict`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.estimators.generative.autoencoder import Autoencoder
    from striate.estimators.generative.cdcgan import ConditionalDCGAN
    from striate.estimators.generative.deep_belief import DeepBelief
    from striate.estimators.generative.gan import GAN
    from striate.estimators.generative.restricted_boltzmann import RestrictedBoltzmann
    from striate.estimators.generative.variational import VariationalAutoencoder
    from striate.estimators.maps.cognitron import Cognitron
    from striate.estimators.maps.competitive import CompetitiveLearning
    from striate.estimators.maps.som import SelfOrganizingMap
    from striate.estimators.memory.boltzmann import BoltzmannMachine
    from striate.estimators.memory.hopfield import Hopfield, ModernHopfield
    from striate.estimators.neurons.adaline import Adaline
    from striate.estimators.neurons.explained import explain_step
    from striate.estimators.neurons.hebb import Hebb, Oja
    from striate.estimators.neurons.mcculloch_pitts import McCullochPitts
    from striate.estimators.neurons.multilayer import MultilayerPerceptron, MultilayerRegressor
    from striate.estimators.neurons.one_layer import LinearRegression, LogisticRegression, SoftmaxRegression
    from striate.estimators.neurons.perceptron import Perceptron
    from striate.estimators.neurons.svm import KernelSVM, LinearSVM
    from striate.estimators.persistence import load_estimator
    from striate.estimators.pictures.classifier import ImageClassifier
    from striate.estimators.pictures.features import ImageFeatures
    from striate.estimators.pictures.regressor import ImageRegressor
    from striate.estimators.resonance.art1 import ART1
    from striate.estimators.resonance.artmap import ARTMAP
    from striate.estimators.resonance.fuzzy_art import FuzzyART
    from striate.estimators.robustness import lesion_curve, noise_curve
    from striate.estimators.sequences.recurrent import (
        ElmanClassifier,
        ElmanRegressor,
        GRUClassifier,
        GRURegressor,
        LSTMClassifier,
        LSTMRegressor,
    )
    from striate.estimators.sequences.sequence_model import SequenceModel

__all__ = [
    "ART1",
    "ARTMAP",
    "GAN",
    "Adaline",
    "Autoencoder",
    "BoltzmannMachine",
    "Cognitron",
    "CompetitiveLearning",
    "ConditionalDCGAN",
    "DeepBelief",
    "ElmanClassifier",
    "ElmanRegressor",
    "FuzzyART",
    "GRUClassifier",
    "GRURegressor",
    "Hebb",
    "Hopfield",
    "ImageClassifier",
    "ImageFeatures",
    "ImageRegressor",
    "KernelSVM",
    "LSTMClassifier",
    "LSTMRegressor",
    "LinearRegression",
    "LinearSVM",
    "LogisticRegression",
    "McCullochPitts",
    "ModernHopfield",
    "MultilayerPerceptron",
    "MultilayerRegressor",
    "Oja",
    "Perceptron",
    "RestrictedBoltzmann",
    "SelfOrganizingMap",
    "SequenceModel",
    "SoftmaxRegression",
    "VariationalAutoencoder",
    "explain_step",
    "lesion_curve",
    "load_estimator",
    "noise_curve",
]
NAMES = {  # of each module
    "striate.estimators.generative.autoencoder": ("Autoencoder",),
    "striate.estimators.generative.cdcgan": ("ConditionalDCGAN",),
    "striate.estimators.generative.deep_belief": ("DeepBelief",),
    "striate.estimators.generative.gan": ("GAN",),
    "striate.estimators.generative.restricted_boltzmann": ("RestrictedBoltzmann",),
    "striate.estimators.generative.variational": ("VariationalAutoencoder",),
    "striate.estimators.maps.cognitron": ("Cognitron",),
    "striate.estimators.maps.competitive": ("CompetitiveLearning",),
    "striate.estimators.maps.som": ("SelfOrganizingMap",),
    "striate.estimators.memory.boltzmann": ("BoltzmannMachine",),
    "striate.estimators.memory.hopfield": ("Hopfield", "ModernHopfield"),
    "striate.estimators.neurons.adaline": ("Adaline",),
    "striate.estimators.neurons.explained": ("explain_step",),
    "striate.estimators.neurons.hebb": ("Hebb", "Oja"),
    "striate.estimators.neurons.mcculloch_pitts": ("McCullochPitts",),
    "striate.estimators.neurons.multilayer": ("MultilayerPerceptron", "MultilayerRegressor"),
    "striate.estimators.neurons.one_layer": ("LinearRegression", "LogisticRegression", "SoftmaxRegression"),
    "striate.estimators.neurons.perceptron": ("Perceptron",),
    "striate.estimators.neurons.svm": ("KernelSVM", "LinearSVM"),
    "striate.estimators.persistence": ("load_estimator",),
    "striate.estimators.pictures.classifier": ("ImageClassifier",),
    "striate.estimators.pictures.features": ("ImageFeatures",),
    "striate.estimators.pictures.regressor": ("ImageRegressor",),
    "striate.estimators.resonance.art1": ("ART1",),
    "striate.estimators.resonance.artmap": ("ARTMAP",),
    "striate.estimators.resonance.fuzzy_art": ("FuzzyART",),
    "striate.estimators.robustness": ("lesion_curve", "noise_curve"),
    "striate.estimators.sequences.recurrent": (
        "ElmanClassifier",
        "ElmanRegressor",
        "GRUClassifier",
        "GRURegressor",
        "LSTMClassifier",
        "LSTMRegressor",
    ),
    "striate.estimators.sequences.sequence_model": ("SequenceModel",),
}
HOMES = {name: module for module, names in NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'striate.estimators' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)
