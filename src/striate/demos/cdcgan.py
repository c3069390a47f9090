"""A small conditional deep convolutional GAN: it generates digits of a given label.

Sources: Goodfellow et al., 2014; Mirza and Osindero, 2014; Radford, Metz and Chintala, 2016. Layers an eighth as wide as published, and
scanned digits of 8 x 8 pixels enlarged to 32 x 32, so that two minutes do.
"""

from __future__ import annotations

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.demos.sources import judge, small_digits
from striate.drawing.animation import demo_figure, rows_of_pictures
from striate.drawing.style import COLOURS, beside, plain, png_bytes
from striate.estimators.generative.cdcgan import ConditionalDCGAN

EACH, DRAWN = 30, 10  # samples a label that are judged, and drawn
SIDE = 32
LOSSES = {"discriminator_loss": "discriminator", "generator_loss": "generator"}


def show(setting: Setting) -> Shown:
    """Train generator and discriminator on the digits, then generate samples of each label."""
    digits = small_digits()
    pictures = enlarged(digits.train)
    epochs = 3 if setting.short else 20
    gan = ConditionalDCGAN(
        width=8,
        batch_size=32,
        learning_rate=1e-3,
        averaging=0.95,
        max_iter=epochs,
        random_state=setting.seed,
    )
    setting.say(f"{epochs} epochs on {len(pictures):,} pictures")
    gan.fit(pictures, digits.labels)
    samples = [gan.sample(EACH, label, random_state=setting.seed) for label in gan.classes_]
    told = judge(digits)
    rows: list[tuple[str, float, float]] = [
        (str(label), float((told.predict(reduced(some)) == label).mean()), spread(some) / spread(pictures[digits.labels == label]))
        for label, some in zip(gan.classes_, samples, strict=True)
    ]
    means = (float(np.mean([row[1] for row in rows])), float(np.mean([row[2] for row in rows])))
    return Shown(
        tables=(
            Table(
                title=f"{EACH} samples per label, after {epochs} epochs on {len(pictures):,} digits",
                heading=("label", "named so by an independent judge", "spread / spread of real ones"),
                rows=(*rows, ("all", *means)),
            ),
        ),
        notes=(
            "The judge is a support vector machine trained on digits that the network has not seen.",
            "A spread near 0 would be mode collapse: the same picture each time.",
        ),
        pictures={"cdcgan.png": lambda: draw([some[:DRAWN] for some in samples], gan.history_)},
    )


def enlarged(digits: np.ndarray) -> np.ndarray:
    """Digits (N, 64) as smooth pictures uint8 (N, 32, 32)."""
    from PIL import Image

    small = (digits.reshape(-1, 8, 8) * 255).round().astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in small])


def reduced(pictures: np.ndarray) -> np.ndarray:
    """Pictures (N, 32, 32) as digits (N, 64) in [0, 1], each pixel a mean of 4 x 4."""
    means: np.ndarray = pictures.reshape(-1, 8, 4, 8, 4).mean((2, 4)).reshape(-1, 64) / 255
    return means


def spread(pictures: np.ndarray) -> float:
    """The mean over pixels of the standard deviation over pictures."""
    return float((pictures / 255).std(0).mean())


def draw(samples: list[np.ndarray], history: list[dict[str, float]]) -> bytes:
    """A row of samples for each label, and the losses of the training, as a PNG."""
    with demo_figure(11.5, 5.6) as figure:
        left, right = figure.subplots(1, 2)
        names = [str(label) for label in range(len(samples))]
        rows_of_pictures(left, np.concatenate(samples) / 255, names, title="samples for each label", gap=3)
        plain(right, title="mean losses of each epoch", x="epoch", y="loss (nats)")
        epochs = range(1, len(history) + 1)
        for colour, (key, name) in zip(COLOURS, LOSSES.items(), strict=False):
            right.plot(epochs, [row[key] for row in history], "o-", markersize=3, color=colour, label=name)
        right.set_ylim(bottom=0)
        right.xaxis.get_major_locator().set_params(integer=True)
        beside(right)
        return png_bytes(figure)
