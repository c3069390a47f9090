"""Signals of a sensor: train a convolutional network on them, a dense one beside it, and measure both under noise.

The vibrations are synthetic: a hum with noise, and a second tone where the machine is loose.
"""

import numpy as np

import striate

rng = np.random.default_rng(0)
t = np.arange(128) / 128


def vibrations(count):
    """(n, 128, 1) in millimetres per second, and their labels."""
    loose = rng.uniform(size=count) < 0.5
    hum = np.sin(2 * np.pi * (8 * t + rng.uniform(size=(count, 1))))
    tone = 0.6 * loose[:, None] * np.sin(2 * np.pi * (21 * t + rng.uniform(size=(count, 1))))
    return (20 + 5 * (hum + tone + rng.normal(0, 0.5, (count, 128))))[..., None], np.where(loose, "loose", "healthy")


train, test = vibrations(300), vibrations(200)
for name, network in (("convolutional", "signal_cnn"), ("dense", striate.mlp((1, 128), 2, hidden=[64, 64]))):
    run = striate.train(train, network=network, epochs=6).run
    accuracy = striate.evaluate(run, test).accuracy
    noisy = striate.attack(run, test, attacks=("noise",), epsilons=(0.05, 0.1), num_images=100).results[0]
    shares = ", ".join(f"{size:g} of the range: {value:.2f}" for size, value in zip(noisy.sizes, noisy.accuracies, strict=True))
    print(f"{name}: accuracy {accuracy:.2f}; with noise of {shares}")
