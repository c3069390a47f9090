"""Keras' own example for MNIST, "Simple MNIST convnet", on TensorFlow: `keras_accuracy FILE EPOCHS SEED`, for `time_to_accuracy`.

Two convolutions, dropout before the dense layer, Adam, batches of 128, pictures divided by 255.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from clocked import arrays_of, said
from keras import layers


class Said(keras.callbacks.Callback):
    """Says the accuracy after each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # of Keras
        """Print a line."""
        said(epoch + 1, float((logs or {})["val_accuracy"]))


def main() -> None:
    """Train, and say the accuracy after each epoch."""
    file, epochs, seed = sys.argv[1:]
    keras.utils.set_random_seed(int(seed))
    images, labels, test, test_labels = arrays_of(file)
    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)),
            *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2)),
            *(layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax")),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    images, test = (each.astype("float32") / 255 for each in (images, test))
    model.fit(images, labels, batch_size=128, epochs=int(epochs), validation_data=(test, test_labels), verbose=0, callbacks=[Said()])


if __name__ == "__main__":
    main()
