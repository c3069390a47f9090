"""Networks behind scikit-learn's `fit` and `predict`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.estimators.adaline import Adaline
    from striate.estimators.art1 import ART1
    from striate.estimators.artmap import ARTMAP
    from striate.estimators.autoencoder import Autoencoder
    from striate.estimators.boltzmann import BoltzmannMachine
    from striate.estimators.cdcgan import ConditionalDCGAN
    from striate.estimators.classifier import ImageClassifier
    from striate.estimators.cognitron import Cognitron
    from striate.estimators.competitive import CompetitiveLearning
    from striate.estimators.deep_belief import DeepBelief
    from striate.estimators.features import ImageFeatures
    from striate.estimators.fuzzy_art import FuzzyART
    from striate.estimators.gan import GAN
    from striate.estimators.hebb import Hebb, Oja
    from striate.estimators.hopfield import Hopfield, ModernHopfield
    from striate.estimators.mcculloch_pitts import McCullochPitts
    from striate.estimators.multilayer import MultilayerPerceptron
    from striate.estimators.one_layer import LinearRegression, LogisticRegression, SoftmaxRegression
    from striate.estimators.perceptron import Perceptron
    from striate.estimators.persistence import load_estimator
    from striate.estimators.recurrent import ElmanClassifier, ElmanRegressor, GRUClassifier, GRURegressor, LSTMClassifier, LSTMRegressor
    from striate.estimators.regressor import ImageRegressor
    from striate.estimators.restricted_boltzmann import RestrictedBoltzmann
    from striate.estimators.sequence_model import SequenceModel
    from striate.estimators.som import SelfOrganizingMap
    from striate.estimators.svm import KernelSVM, LinearSVM
    from striate.estimators.variational import VariationalAutoencoder

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
    "Oja",
    "Perceptron",
    "RestrictedBoltzmann",
    "SelfOrganizingMap",
    "SequenceModel",
    "SoftmaxRegression",
    "VariationalAutoencoder",
    "load_estimator",
]
HOMES = {
    "ART1": "striate.estimators.art1",
    "ARTMAP": "striate.estimators.artmap",
    "Adaline": "striate.estimators.adaline",
    "Autoencoder": "striate.estimators.autoencoder",
    "Cognitron": "striate.estimators.cognitron",
    "BoltzmannMachine": "striate.estimators.boltzmann",
    "CompetitiveLearning": "striate.estimators.competitive",
    "ConditionalDCGAN": "striate.estimators.cdcgan",
    "DeepBelief": "striate.estimators.deep_belief",
    "ElmanClassifier": "striate.estimators.recurrent",
    "ElmanRegressor": "striate.estimators.recurrent",
    "FuzzyART": "striate.estimators.fuzzy_art",
    "GAN": "striate.estimators.gan",
    "GRUClassifier": "striate.estimators.recurrent",
    "GRURegressor": "striate.estimators.recurrent",
    "Hebb": "striate.estimators.hebb",
    "Hopfield": "striate.estimators.hopfield",
    "ImageClassifier": "striate.estimators.classifier",
    "ImageFeatures": "striate.estimators.features",
    "ImageRegressor": "striate.estimators.regressor",
    "KernelSVM": "striate.estimators.svm",
    "LSTMClassifier": "striate.estimators.recurrent",
    "LSTMRegressor": "striate.estimators.recurrent",
    "LinearRegression": "striate.estimators.one_layer",
    "LinearSVM": "striate.estimators.svm",
    "LogisticRegression": "striate.estimators.one_layer",
    "McCullochPitts": "striate.estimators.mcculloch_pitts",
    "ModernHopfield": "striate.estimators.hopfield",
    "MultilayerPerceptron": "striate.estimators.multilayer",
    "Oja": "striate.estimators.hebb",
    "Perceptron": "striate.estimators.perceptron",
    "RestrictedBoltzmann": "striate.estimators.restricted_boltzmann",
    "SelfOrganizingMap": "striate.estimators.som",
    "SequenceModel": "striate.estimators.sequence_model",
    "SoftmaxRegression": "striate.estimators.one_layer",
    "VariationalAutoencoder": "striate.estimators.variational",
    "load_estimator": "striate.estimators.persistence",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'striate.estimators' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)
