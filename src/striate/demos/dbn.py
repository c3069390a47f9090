"""A deep belief network: stacked machines, fine-tuned to classify digits, and used to generate the digit of a label.

Source: Hinton, Osindero and Teh, 2006, "A fast learning algorithm for deep belief nets".
"""

from __future__ import annotations

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.demos.sources import judge, small_digits
from striate.drawing.animation import demo_figure, rows_of_pictures
from striate.drawing.style import png_bytes
from striate.estimators.generative.deep_belief import DeepBelief

SIZES = (200, 200)
EACH, DRAWN = 30, 10  # samples a label that are judged, and drawn


def show(setting: Setting) -> Shown:
    """Both conditionals of one network: P(label | digit) and P(digit | label)."""
    digits = small_digits()
    epochs = 20 if setting.short else 120
    net = DeepBelief(SIZES, pretrain_max_iter=epochs, pretrain_learning_rate=0.05, max_iter=20, random_state=setting.seed)
    net.fit(digits.train, digits.labels)
    plain = DeepBelief(SIZES, pretrain_max_iter=0, max_iter=20, random_state=setting.seed).fit(digits.train, digits.labels)
    samples = [net.sample(EACH, label, n_steps=100 if setting.short else 500) for label in net.classes_]
    told = judge(digits)
    right = [float((told.predict(some) == label).mean()) for label, some in zip(net.classes_, samples, strict=True)]
    both = (("pre-trained and fine-tuned", net), ("fine-tuned only", plain))
    named = tuple((name, float(model.score(digits.test, digits.wanted))) for name, model in both)
    errors: list[tuple[str | float, ...]] = [
        (f"{place + 1}", *(float(curve[at]) for at in (0, 1, -1))) for place, curve in enumerate(net.reconstruction_errors_)
    ]
    return Shown(
        tables=(
            Table(
                title="Mean squared reconstruction error of each machine",
                heading=("machine", "at first", "after 1 epoch", f"after {epochs}"),
                rows=tuple(errors),
            ),
            Table(
                title=f"P(label | digit), on {len(digits.test)} held-out digits",
                heading=("network", "right"),
                rows=named,
            ),
            Table(
                title=f"P(digit | label): share of {EACH} samples that an independent judge gives this label",
                heading=("label", "right"),
                rows=(*((str(label), share) for label, share in zip(net.classes_, right, strict=True)), ("all", float(np.mean(right)))),
            ),
        ),
        notes=("The judge is a support vector machine trained on digits that the network has not seen.",),
        pictures={"dbn.png": lambda: draw([some[:DRAWN] for some in samples])},
    )


def draw(samples: list[np.ndarray]) -> bytes:
    """A row of samples for each label, as a PNG."""
    with demo_figure(5.4, 5.6) as figure:
        names = [str(label) for label in range(len(samples))]
        rows_of_pictures(figure.subplots(), np.concatenate(samples).reshape(-1, 8, 8), names, title="samples for each label")
        return png_bytes(figure)
