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
    "load_estimator",
]
HOMES = {
    "ART1": "striate.estimators.resonance.art1",
    "ARTMAP": "striate.estimators.resonance.artmap",
    "Adaline": "striate.estimators.neurons.adaline",
    "Autoencoder": "striate.estimators.generative.autoencoder",
    "Cognitron": "striate.estimators.maps.cognitron",
    "BoltzmannMachine": "striate.estimators.memory.boltzmann",
    "CompetitiveLearning": "striate.estimators.maps.competitive",
    "ConditionalDCGAN": "striate.estimators.generative.cdcgan",
    "DeepBelief": "striate.estimators.generative.deep_belief",
    "ElmanClassifier": "striate.estimators.sequences.recurrent",
    "ElmanRegressor": "striate.estimators.sequences.recurrent",
    "FuzzyART": "striate.estimators.resonance.fuzzy_art",
    "GAN": "striate.estimators.generative.gan",
    "GRUClassifier": "striate.estimators.sequences.recurrent",
    "GRURegressor": "striate.estimators.sequences.recurrent",
    "Hebb": "striate.estimators.neurons.hebb",
    "Hopfield": "striate.estimators.memory.hopfield",
    "ImageClassifier": "striate.estimators.pictures.classifier",
    "ImageFeatures": "striate.estimators.pictures.features",
    "ImageRegressor": "striate.estimators.pictures.regressor",
    "KernelSVM": "striate.estimators.neurons.svm",
    "LSTMClassifier": "striate.estimators.sequences.recurrent",
    "LSTMRegressor": "striate.estimators.sequences.recurrent",
    "LinearRegression": "striate.estimators.neurons.one_layer",
    "LinearSVM": "striate.estimators.neurons.svm",
    "LogisticRegression": "striate.estimators.neurons.one_layer",
    "McCullochPitts": "striate.estimators.neurons.mcculloch_pitts",
    "ModernHopfield": "striate.estimators.memory.hopfield",
    "MultilayerPerceptron": "striate.estimators.neurons.multilayer",
    "MultilayerRegressor": "striate.estimators.neurons.multilayer",
    "Oja": "striate.estimators.neurons.hebb",
    "Perceptron": "striate.estimators.neurons.perceptron",
    "RestrictedBoltzmann": "striate.estimators.generative.restricted_boltzmann",
    "SelfOrganizingMap": "striate.estimators.maps.som",
    "SequenceModel": "striate.estimators.sequences.sequence_model",
    "SoftmaxRegression": "striate.estimators.neurons.one_layer",
    "VariationalAutoencoder": "striate.estimators.generative.variational",
    "explain_step": "striate.estimators.neurons.explained",
    "load_estimator": "striate.estimators.persistence",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'striate.estimators' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)
