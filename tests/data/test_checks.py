"""What is wrong with pictures and labels is known before a training, and nothing is said of sound ones."""

from __future__ import annotations

import numpy as np
import pytest

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data import copies as copies_module
from striate.data.checks import flat_pictures, look, refuse_hopeless
from striate.data.fitting import fit_images
from striate.data.masks import MaskedSet
from striate.data.records import ImageSet
from striate.data.sources import open_data

CLASSES = ("cat", "dog", "cow")


def pictures(count: int, seed: int = 0, *, split: str = "train") -> ImageSet:
    """Noise, (count, 5, 7, 3), of three classes in turn."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 5, 7, 3), dtype=np.uint8)
    return of(images, np.arange(count) % 3, split=split)


def of(images: np.ndarray, labels: np.ndarray, *, split: str = "train") -> ImageSet:
    paths = tuple(f"{split}/{place}.png" for place in range(len(images)))
    return ImageSet("some", split, images, np.asarray(labels, np.int64), CLASSES, paths)


def kinds(*sets: ImageSet) -> list[tuple[str, str]]:
    return [(finding.kind, finding.severity) for finding in look(*sets)]


def test_nothing_is_said_of_sound_pictures():
    assert look(pictures(30), pictures(6, 1, split="val")) == ()
    assert look(pictures(30)) == ()


# ---- copies


def test_val_pictures_that_are_training_pictures_are_counted_and_named():
    train, val = pictures(30), pictures(8, 1, split="val")
    val.images[[2, 5]] = train.images[[8, 29]]
    val.labels[[2, 5]] = train.labels[[8, 29]]

    (finding,) = look(train, val)

    assert (finding.kind, finding.severity, finding.where, finding.evidence) == ("shared_pictures", "warning", "val", 0.25)
    assert finding.names == ("val/2.png", "val/5.png")
    assert finding.message == (
        "2 of 8 val pictures are also training pictures, pixel for pixel: val/2.png = train/8.png; val/5.png = train/29.png"
    )
    assert "too high" in finding.remedy


def test_a_picture_with_two_labels_is_named_with_both():
    train = pictures(30)
    train.images[7] = train.images[3]  # a dog, and a cat
    (finding,) = look(train)
    assert (finding.kind, finding.severity) == ("two_labels", "warning")
    assert finding.message == "1 picture occurs with two labels: train/3.png (cat) = train/7.png (dog)"


def test_copies_with_one_label_in_the_training_set_are_no_fault():
    train = pictures(30)
    train.images[6] = train.images[3]
    assert look(train) == ()


def test_pictures_that_differ_in_one_value_are_no_copies(monkeypatch: pytest.MonkeyPatch):
    """Also where only every other row is compared at first."""
    train, val = pictures(30), pictures(8, 1, split="val")
    val.images[:] = train.images[:8]
    val.images[:, 1, 3, 2] ^= 1
    assert look(train, val) == ()
    monkeypatch.setattr(copies_module, "MOST_BYTES", (train.images.nbytes + val.images.nbytes) // 2)
    assert look(train, val) == ()
    val.images[4] = train.images[13]
    assert [finding.names for finding in look(train, val)] == [("val/4.png",)]


def test_numbers_and_masks_of_copies_are_compared_too():
    images = pictures(6).images
    images[4] = images[1]
    numbers = ImageSet("some", "train", images, np.arange(6.0)[:, None], ("y",), tuple("abcdef"))
    assert [finding.message for finding in look(numbers)] == ["1 picture occurs with two labels: b = e"]


# ---- pictures that show nothing


def test_pictures_of_16_bits_that_became_one_value_are_said_with_the_remedy():
    (finding,) = look(of(np.full((30, 5, 7, 1), 4, np.uint8), np.arange(30) % 3))
    assert (finding.kind, finding.severity, finding.evidence) == ("faint_pictures", "warning", 0)
    assert finding.message == "all values of the train pictures are 4, of 255, and all 30 of them are blank"
    assert "(v - low) / (high - low) * 255" in finding.remedy


@pytest.mark.parametrize(
    ("most", "severity"), [(1, ["warning"]), (6, ["warning"]), (16, ["note"]), (40, [])]
)  # of 1: floats in [0, 1], cast; of 16: 12 bits of 16, or the digits of scikit-learn
def test_values_in_a_narrow_band_are_faint(most: int, severity: list[str]):
    images = np.random.default_rng(0).integers(0, most + 1, (30, 5, 7, 1), dtype=np.uint8)
    assert kinds(of(images, np.arange(30) % 3)) == [("faint_pictures", each) for each in severity]


def test_following_the_remedy_for_faint_pictures_leaves_nothing_to_say():
    values = np.random.default_rng(0).integers(1000, 1101, (30, 5, 7, 1))  # of 16 bits
    assert kinds(of(np.rint(values / 257).astype(np.uint8), np.arange(30) % 3)) == [("faint_pictures", "warning")]
    low, high = values.min(), values.max()
    assert look(of(((values - low) / (high - low) * 255).astype(np.uint8), np.arange(30) % 3)) == ()


def test_a_class_that_shows_nothing_is_named():
    train = pictures(30)
    train.images[train.labels == 1] = 255
    (finding,) = look(train)
    words = "10 of 30 train pictures are blank: within each, colours differ by at most 3 of 255, among them all of class 'dog'"
    assert (finding.kind, finding.severity, finding.message) == ("flat_pictures", "warning", words)


def test_a_few_blank_pictures_are_a_note():
    train = pictures(60)
    train.images[7] = 9
    assert kinds(train) == [("flat_pictures", "note")]
    assert look(train)[0].names == ("train/7.png",)


def test_padding_is_not_looked_at():
    """A flat picture with a black frame is flat."""
    spec = ImageSpec(height=32, width=32, channels=1, mean=(0.5,), std=(0.5,), fit="pad")
    flat = np.repeat(np.arange(1, 31, dtype=np.uint8)[:, None, None, None] * 8, 28 * 28, 1).reshape(30, 28, 28, 1)
    train = of(fit_images(flat, spec), np.arange(30) % 3)
    assert look(train) == ()
    (finding,) = look(train, spec=spec, size=(28, 28))
    assert (finding.kind, finding.evidence) == ("flat_pictures", 1.0)


def test_flat_is_each_picture_within_3_levels_in_each_channel():
    images = np.zeros((4, 20, 30, 3), np.uint8)
    images[:, :, :, 0] = 200  # a colour is flat
    images[1, 11, 17, 1] = 3
    images[2, 11, 17, 1] = 4
    images[3, 0, 0, 2] = 255
    assert flat_pictures(images).tolist() == [True, True, False, False]


def test_a_class_or_a_set_of_one_picture_is_said():
    train = pictures(30)
    train.images[train.labels == 2] = train.images[2]
    assert [f.message for f in look(train)] == ["all 10 train pictures of class 'cow' are the same, pixel for pixel"]
    train = pictures(30)
    train.images[:] = train.images[0]
    assert kinds(train) == [("two_labels", "warning"), ("equal_pictures", "warning")]


# ---- masks


def masked(labels: np.ndarray, split: str = "train") -> MaskedSet:
    images = np.random.default_rng(len(split)).integers(0, 256, (*labels.shape, 1), dtype=np.uint8)
    packed = np.concatenate([images, 255 - labels[..., None]], -1)
    return MaskedSet.unpacked("some", split, packed, CLASSES, tuple(f"{split}/{i}" for i in range(len(labels))))


def test_masks_that_cannot_teach_or_measure_anything_stop_the_training():
    sound = (np.arange(6 * 5 * 7) % 3).astype(np.uint8).reshape(6, 5, 7)
    assert look(masked(sound), masked(sound[:2, ::-1], "val")) == ()
    for broken, words in ((np.zeros_like(sound), "the training masks hold only class 'cat'"),
                          (np.full_like(sound, 255), "the training masks hold no class: every pixel is 255")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            refuse_hopeless(look(masked(broken)))
    with pytest.raises(DataError, match="the val masks hold no class: every pixel is 255, so there is nothing to measure"):
        refuse_hopeless(look(masked(sound), masked(np.full_like(sound[:2], 255), "val")))


def test_masks_without_a_class_and_classes_without_a_pixel_are_named():
    masks = np.where(np.arange(6 * 5 * 7) % 3, 1, 0).astype(np.uint8).reshape(6, 5, 7)
    masks[2] = 255
    found = look(masked(masks))
    refuse_hopeless(found)
    assert [(f.kind, f.severity) for f in found] == [("unlabelled_masks", "warning"), ("absent_classes", "note")]
    assert found[0].names == ("train/2",) and "no pixel of class 'cow'" in found[1].message


def test_nothing_is_said_of_digits():
    source = open_data("digits")
    assert look(source.read("train"), source.read("test")) == ()
