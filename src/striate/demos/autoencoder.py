"""Autoencoders: digits compressed to a few numbers, and noise removed.

Sources: Hinton and Salakhutdinov, 2006; Vincent et al., 2008, for noise; that a linear one finds what principal components find: Baldi and
Hornik, 1989, "Neural networks and principal component analysis".
"""

from __future__ import annotations

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.demos.sources import small_digits
from striate.drawing.animation import demo_figure, rows_of_pictures
from striate.drawing.style import png_bytes
from striate.estimators.generative.autoencoder import Autoencoder

CODES = (2, 8, 16)
NOISE = 0.3  # share of the pixels that are set to 0
DRAWN = 12


def show(setting: Setting) -> Shown:
    """Reconstruct held-out digits from codes of three lengths, and denoise noisy ones."""
    digits = small_digits()
    epochs = 12 if setting.short else 40
    rows: list[tuple[str | float, ...]] = []
    rebuilt = {"as they are": digits.test[:DRAWN]}
    for size in CODES[:2] if setting.short else CODES:
        made = remade(size, digits.train, digits.test, epochs, setting.seed)
        rows.append((f"{size}", *(error(some, digits.test) for some in made.values())))
        if size == CODES[1]:
            rebuilt |= {f"{name}, {size} numbers": some[:DRAWN] for name, some in made.items() if name != "linear"}
    noisy = digits.test * (np.random.default_rng(setting.seed).random(digits.test.shape) >= NOISE)
    cleaned = {}
    for name, noise in (("taught to rebuild", 0.0), ("taught to clean", NOISE)):
        net = Autoencoder(64, hidden_layer_sizes=256, noise=noise, max_iter=epochs, random_state=setting.seed).fit(digits.train)
        cleaned[name] = net.reconstruct(noisy)
    rebuilt |= {f"{NOISE:.0%} of the pixels lost": noisy[:DRAWN], "the same, cleaned": cleaned["taught to clean"][:DRAWN]}
    return Shown(
        tables=(
            Table(
                title="Mean squared error per pixel on held-out digits, by the size of the code",
                heading=("numbers", "PCA", "linear", "dense", "convolutional"),
                rows=tuple(rows),
            ),
            Table(
                title=f"{NOISE:.0%} of the pixels are lost: mean squared error to the whole digit",
                heading=("picture", "error"),
                rows=(("noisy", error(noisy, digits.test)), *((name, error(some, digits.test)) for name, some in cleaned.items())),
            ),
        ),
        notes=(
            "A linear autoencoder converges to the principal components (PCA), the best linear code; hidden layers do better.",
            "A denoising autoencoder, trained with missing pixels, learns what digits look like and fills them in.",
        ),
        pictures={"autoencoder.png": lambda: draw(rebuilt)},
    )


def remade(size: int, train: np.ndarray, test: np.ndarray, epochs: int, seed: int) -> dict[str, np.ndarray]:
    """The test digits from codes of `size` numbers, by the kind of coder."""
    from sklearn.decomposition import PCA

    components = PCA(size, random_state=seed).fit(train)
    linear = Autoencoder(size, hidden_layer_sizes=(), learning_rate=0.01, max_iter=epochs, random_state=seed).fit(train)
    dense = Autoencoder(size, hidden_layer_sizes=128, max_iter=epochs, random_state=seed).fit(train)
    convolutional = Autoencoder(size, channels=(16, 32), max_iter=epochs, random_state=seed).fit(train.reshape(-1, 8, 8))
    return {
        "PCA": components.inverse_transform(components.transform(test)),
        "linear": linear.reconstruct(test),
        "dense": dense.reconstruct(test),
        "convolutional": convolutional.reconstruct(test.reshape(-1, 8, 8)).reshape(-1, 64),
    }


def error(made: np.ndarray, wanted: np.ndarray) -> float:
    """The mean squared error per pixel."""
    return float(((made - wanted) ** 2).mean())


def draw(rows: dict[str, np.ndarray]) -> bytes:
    """The same digits in each row, by what was done to them, as a PNG."""
    with demo_figure(9.5, 4.8) as figure:
        digits = np.concatenate(list(rows.values())).reshape(-1, 8, 8)
        rows_of_pictures(figure.subplots(), digits, list(rows), title="held-out digits and their reconstructions")
        return png_bytes(figure)
