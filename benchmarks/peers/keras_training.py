"""Keras's `fit` on TensorFlow or JAX (KERAS_BACKEND), as its documentation has it, for `throughput`.

`keras_training NAME PICTURES STEPS WARMUP BATCH PRECISION`: NAME is one of our networks; PICTURES an .npz file of `images` (n, h, w, c)
uint8 and `labels` (n,), or a folder with a folder of JPEG files for each class; PRECISION float32 or bfloat16. Colour pictures are padded
by 4, cut out at a random place, and mirrored; of photos, pieces of 35 % of the area and more are brought to 224 x 224. Prints a line of
JSON: parameters, images a second after the warm-up, and the seconds from the start of the program to the end of the first update.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

PAD = 4
SIDE, AREA, MEAN, STD = 224, (0.35, 1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of photos


def main() -> None:
    """Train for the steps that are asked for."""
    name, file, steps, warmup, batch, precision = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(int(os.environ.get("OMP_NUM_THREADS", "0")))  # 0: all cores
    if precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    data, shape, classes = photos(Path(file)) if Path(file).is_dir() else pictures(file)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape), *NETWORKS[name](), *logits(classes)])
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    clock = Clock(int(warmup), int(steps))
    data = data.batch(int(batch)).prefetch(tf.data.AUTOTUNE)
    model.fit(data, steps_per_epoch=int(steps) + int(warmup), epochs=1, verbose=0, callbacks=[clock])
    speed = int(steps) * int(batch) / (clock.end - clock.begin)
    print(json.dumps({"parameters": model.count_params(), "images_per_second": speed, "first_step_seconds": clock.first}))


class Clock(keras.callbacks.Callback):
    """The time after the first update, after the warm-up, and at the end."""

    def __init__(self, warmup: int, steps: int) -> None:
        super().__init__()
        self.warmup, self.steps = warmup, steps
        self.first = self.begin = self.end = 0.0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # of Keras
        """Take the time."""
        now = time.perf_counter()
        if batch == 0:
            self.first = time.time() - float(os.environ["STARTED"])
        if batch == self.warmup - 1:
            self.begin = now
        if batch == self.warmup + self.steps - 1:
            self.end = now


def pictures(file: str) -> tuple[tf.data.Dataset, tuple[int, ...], int]:
    """The prepared pictures of a file in a random order, without end; their shape, and the number of classes."""
    with np.load(file) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    prepare = prepared(images[::50].mean((0, 1, 2)), images[::50].std((0, 1, 2)), crops=images.shape[3] == 3)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).repeat()
    return data.map(prepare, num_parallel_calls=tf.data.AUTOTUNE), images.shape[1:], 10


def photos(folder: Path) -> tuple[tf.data.Dataset, tuple[int, ...], int]:
    """The same of a folder of photos, each decoded whenever it comes."""
    files = sorted(folder.glob("*/*"))
    classes = sorted({file.parent.name for file in files})
    labels = [classes.index(file.parent.name) for file in files]
    mean, deviation = (255 * np.array(values, np.float32) for values in (MEAN, STD))

    def prepare(file: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        content = tf.io.read_file(file)
        whole = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
        place, size, _ = tf.image.sample_distorted_bounding_box(
            tf.image.extract_jpeg_shape(content), whole, 0, aspect_ratio_range=(3 / 4, 4 / 3), area_range=AREA
        )
        image = tf.image.decode_and_crop_jpeg(content, tf.concat((place[:2], size[:2]), 0), channels=3)
        image = tf.image.random_flip_left_right(tf.image.resize(image, (SIDE, SIDE)))
        return (image - mean) / deviation, label

    data = tf.data.Dataset.from_tensor_slices(([str(file) for file in files], labels)).shuffle(len(files)).repeat()
    return data.map(prepare, num_parallel_calls=tf.data.AUTOTUNE), (SIDE, SIDE, 3), len(classes)


def prepared(mean: np.ndarray, deviation: np.ndarray, *, crops: bool) -> object:
    """The preparation of a picture and its label."""

    def prepare(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if crops:
            shape = image.shape
            image = tf.image.random_crop(tf.pad(image, [[PAD, PAD], [PAD, PAD], [0, 0]]), shape)
            image = tf.image.random_flip_left_right(image)
        return (tf.cast(image, tf.float32) - mean.astype(np.float32)) / deviation.astype(np.float32), label

    return prepare


def cifar_notes() -> list[layers.Layer]:
    """Three convolutions of 32 filters, each with its pooling."""
    blocks = [[layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(2)] for _ in range(3)]
    return [*(layer for block in blocks for layer in block), layers.Flatten()]


def mnist_notes() -> list[layers.Layer]:
    """Two convolutions and a hidden layer of 1,024 units without an activation, as the notes have it."""
    return [
        *(layers.Conv2D(32, 5, activation="relu"), layers.MaxPooling2D(2)),
        *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2)),
        *(layers.Flatten(), layers.Dense(1024), layers.Dropout(0.25)),
    ]


def resnet20_cifar() -> list[layers.Layer]:
    """Three stages of three blocks; where the size changes, the shortcut takes every second pixel and is padded with zeros."""
    return [
        *(convolution(16, 1), layers.BatchNormalization(), layers.ReLU()),
        *(Block(filters, 2 if filters > 16 and number == 0 else 1) for filters in (16, 32, 64) for number in range(3)),
        layers.GlobalAveragePooling2D(),
    ]


def resnet18() -> list[layers.Layer]:
    """Four stages of two blocks; where the size changes, the shortcut is a convolution of 1 x 1."""
    return [
        *(layers.ZeroPadding2D(3), layers.Conv2D(64, 7, 2, use_bias=False), layers.BatchNormalization(), layers.ReLU()),
        *(layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)),
        *(
            Block(filters, 2 if filters > 64 and number == 0 else 1, projects=True)
            for filters in (64, 128, 256, 512)
            for number in range(2)
        ),
        layers.GlobalAveragePooling2D(),
    ]


def logits(classes: int) -> list[layers.Layer]:
    """The last layer, whose numbers are of float32."""
    return [layers.Dense(classes), layers.Activation("linear", dtype="float32")]


def convolution(filters: int, stride: int) -> layers.Layer:
    """3 x 3, without a bias."""
    return layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)


class Block(layers.Layer):
    """Two convolutions beside a shortcut."""

    def __init__(self, filters: int, stride: int, *, projects: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.body = [
            *(convolution(filters, stride), layers.BatchNormalization(), layers.ReLU()),
            *(convolution(filters, 1), layers.BatchNormalization()),
        ]
        projection = [layers.Conv2D(filters, 1, stride, use_bias=False), layers.BatchNormalization()]
        self.shortcut = projection if projects and stride > 1 else []

    def call(self, inputs: object, training: bool | None = None) -> object:  # as Keras calls it
        """-> the rectified sum of both."""
        outputs = through(self.body, inputs, training)
        if self.shortcut:
            inputs = through(self.shortcut, inputs, training)
        elif self.stride > 1:
            more = outputs.shape[-1] - inputs.shape[-1]
            inputs = ops.pad(inputs[:, :: self.stride, :: self.stride], [[0, 0], [0, 0], [0, 0], [more // 2, more - more // 2]])
        return ops.relu(inputs + outputs)


def through(parts: list[layers.Layer], inputs: object, training: bool | None) -> object:
    """What the layers make of the inputs, one after the other."""
    for layer in parts:
        inputs = layer(inputs, training=training) if isinstance(layer, layers.BatchNormalization) else layer(inputs)
    return inputs


NETWORKS = {"cifar_notes": cifar_notes, "mnist_notes": mnist_notes, "resnet20_cifar": resnet20_cifar, "resnet18": resnet18}

if __name__ == "__main__":
    main()
