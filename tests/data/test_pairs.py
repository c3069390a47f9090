"""Pictures with target pictures: folders, arrays, inputs that an effect makes, and batches in which both move alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.core.errors import DataError, UsageError
from striate.core.images import Form, ImageSpec
from striate.data.augmentation.record import Augmentation
from striate.data.dropped import DropRow, write_drop_list
from striate.data.identities import file_digests, picture_digests
from striate.data.input_effects import InputEffect, grey, scaled, unchanged
from striate.data.noise import constant_draws, noisy
from striate.data.pair_batches import PairBatches
from striate.data.pair_files import open_pairs
from striate.data.pairs import PairSet, PairSource, pairs_of_arrays
from striate.data.sources import open_data

FIELDS = {"train": ("X", "Y"), "test": ("X", "Y")}


def random_pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def enlarged(pictures: np.ndarray, scale: int) -> np.ndarray:
    """Each pixel (n, h, w, c) as a square of `scale` pixels a side."""
    return pictures.repeat(scale, 1).repeat(scale, 2)


def save(folder: Path, **pictures: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(folder / f"{name}.png")


def spec_of(height: int, width: int, channels: int, fit: str = "cut") -> ImageSpec:
    return ImageSpec(height=height, width=width, channels=channels, mean=(0,) * channels, std=(1,) * channels, fit=fit)  # type: ignore[arg-type]


def draw_pairs(root: Path, count: int, scale: int = 1, size: tuple[int, int] = (9, 7)) -> Path:
    for place, picture in enumerate(random_pictures(count, *size, 3)):
        save(root / "input", **{f"p{place}": picture})
        save(root / "target", **{f"p{place}": enlarged(picture[None], scale)[0]})
    return root


# ---- effects


def test_noise_has_the_deviation_that_is_asked_for_and_the_same_bits_for_the_same_name() -> None:
    pictures = np.full((2, 40, 50, 3), 128, np.uint8)

    made = InputEffect.read("noise:25").made(pictures, ["a", "b"])
    alone = InputEffect.read("noise:25").made(pictures[:1], ["b"])

    levels = made.astype(float) - 128
    assert abs(levels.mean()) < 4 * 25 / np.sqrt(levels.size)
    assert levels.std() == pytest.approx(25, rel=0.02)
    assert not np.array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[1], alone[0])


def test_noise_is_cut_off_at_black_and_white() -> None:
    pictures = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 30, 30, 1)

    made = noisy(pictures, 50.0, constant_draws(["a", "b"])).double()

    for picture, end in zip(made, (0, 255), strict=True):
        assert 0.45 < float((picture == end).double().mean()) < 0.55  # half of the noise would leave the range


def test_grey_and_smaller_pictures_are_those_of_pillow() -> None:
    pictures = random_pictures(2, 12, 8, 3)

    for picture, brightness, small in zip(pictures, grey(pictures), scaled(pictures, (6, 4)), strict=True):
        image = Image.fromarray(picture)
        np.testing.assert_array_equal(brightness[..., 0], np.asarray(image.convert("L")))
        np.testing.assert_array_equal(small, np.asarray(image.resize((4, 6), Image.Resampling.BICUBIC)))
    assert InputEffect.read("downscale:2").made(pictures, ["a", "b"]).shape == (2, 6, 4, 3)


def test_without_a_network_an_input_is_enlarged_and_gets_the_channels_of_its_target() -> None:
    flat = np.full((1, 4, 6, 1), 77, np.uint8)

    np.testing.assert_array_equal(unchanged(flat, (8, 12, 3)), np.full((1, 8, 12, 3), 77))
    np.testing.assert_array_equal(unchanged(random_pictures(2, 4, 6, 3), (4, 6, 3)), random_pictures(2, 4, 6, 3))
    np.testing.assert_array_equal(unchanged(np.full((1, 2, 2, 3), (255, 0, 0), np.uint8), (2, 2, 1)), np.full((1, 2, 2, 1), 76))


@pytest.mark.parametrize(
    "text", ["noise", "noise:0", "noise:256", "noise:x", "noise:nan", "downscale:1", "downscale:2.5", "downscale:9", "grey:2"]
)
def test_an_effect_without_its_number_or_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=rf"^`input_effect='{text}'` is no effect: the number must be ") as caught:
        InputEffect.read(text)
    assert "noise:25" in caught.value.remedy


def test_an_unknown_effect_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`input_effect='blur:2'` is no effect\nKnown: noise:SIGMA"):
        InputEffect.read("blur:2")


# ---- folders


def test_pairs_are_found_by_their_names_whatever_the_ending(tmp_path: Path) -> None:
    pictures = random_pictures(2, 6, 8, 3)
    for split in ("train", "test"):
        save(tmp_path / split / "target" / "deep", b=pictures[1])
        save(tmp_path / split / "input" / "deep", b=grey(pictures)[1])
    Image.fromarray(pictures[0]).save(tmp_path / "train" / "target" / "a.bmp")
    save(tmp_path / "train" / "input", a=grey(pictures)[0])

    source = open_pairs(tmp_path)
    train = source.read("train")

    assert (source.splits, source.classes, source.channels, source.image_size, source.scale) == (
        ("train", "test"), ("red", "green", "blue"), 1, (6, 8), 1,
    )  # fmt: skip
    assert [Path(path).relative_to(tmp_path).as_posix() for path in train.paths] == ["train/input/a.png", "train/input/deep/b.png"]
    np.testing.assert_array_equal(train.labels, pictures)
    np.testing.assert_array_equal(train.images, grey(pictures))


@pytest.mark.parametrize("side", [8, 7, 4, 13])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_an_input_and_its_target_are_cut_at_the_same_place(side: int, scale: int, tmp_path: Path) -> None:
    """Where a target is its input with each pixel repeated, it still is after both were brought to a size, smaller or larger."""
    source = open_pairs(draw_pairs(tmp_path, 2, scale))

    pairs = source.read("train", spec=spec_of(side, side + 1, 3))

    assert pairs.scale == scale
    assert pairs.images.any()
    np.testing.assert_array_equal(pairs.labels, enlarged(pairs.images, scale))


def test_pictures_without_a_partner_are_counted_and_the_first_five_named(tmp_path: Path) -> None:
    draw_pairs(tmp_path, 8)
    for place in range(7):
        (tmp_path / "target" / f"p{place}.png").unlink()

    with pytest.raises(DataError) as caught:
        open_pairs(tmp_path)

    names = ", ".join(f"input/p{place}.png" for place in range(5))
    assert caught.value.message == f"{tmp_path}: 7 pictures without a partner in target/: {names} and 2 more"
    assert caught.value.remedy == "Give each picture of input/ one of the same name in target/."
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((10, 7), r"p1.png: has 10 x 7 pixels for an input of 9 x 7, expected as large, as the first pair is"),
        ((18, 14), r"p1.png: has 18 x 14 pixels for an input of 9 x 7, expected as large"),
        ((4, 3), r"p1.png: has 4 x 3 pixels for an input of 9 x 7"),
    ],
)
def test_a_target_of_another_size_than_the_others_have_is_refused(size: tuple[int, int], words: str, tmp_path: Path) -> None:
    draw_pairs(tmp_path, 2)
    save(tmp_path / "target", p1=random_pictures(*size, 3))

    with pytest.raises(DataError, match=words):
        open_pairs(tmp_path)


def test_a_target_that_is_no_whole_number_of_times_as_large_is_refused(tmp_path: Path) -> None:
    draw_pairs(tmp_path, 1)
    save(tmp_path / "target", p0=random_pictures(18, 15, 3))

    with pytest.raises(
        DataError, match=r"p0.png: has 18 x 15 pixels for an input of 9 x 7\nA target must be as large as its input, or a whole"
    ):
        open_pairs(tmp_path)


def test_a_folder_without_pictures_says_where_they_belong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pictures in input/\nPut pictures in .*/input/ and .* in target/ beside it"):
        open_data(tmp_path, task="restore")
    with pytest.raises(DataError, match=r"no pictures\nPut some in "):
        open_data(tmp_path, form=Form(effect="grey"))
    with pytest.raises(
        UsageError, match=r"mnist: no such folder of inputs and targets\nGive a folder of input/ and target/; or make inputs"
    ):
        open_data("mnist", task="restore")


def test_an_unreadable_picture_is_named_or_left_out_with_its_partner(tmp_path: Path) -> None:
    draw_pairs(tmp_path, 3)
    (tmp_path / "target" / "p1.png").write_bytes(b"no picture")

    with pytest.raises(DataError, match=r"1 file cannot be read as pictures: .*target/p1.png"):
        open_pairs(tmp_path)
    assert open_pairs(tmp_path, skip_unreadable=True).num_images("train") == 2


def test_any_folder_of_pictures_gives_targets_and_an_effect_their_inputs(tmp_path: Path) -> None:
    pictures = random_pictures(3, 9, 12, 3)
    save(tmp_path / "roses", a=pictures[0], b=pictures[1])
    save(tmp_path, c=pictures[2])

    small, again = (open_pairs(tmp_path, InputEffect.read("downscale:2")).read("train", spec=spec_of(4, 6, 3)) for _ in range(2))
    noise = open_pairs(tmp_path, InputEffect.read("noise:9")).read("train", spec=spec_of(9, 12, 3), places=np.array([2, 0]))

    assert [Path(path).name for path in small.paths] == ["c.png", "a.png", "b.png"]
    assert (small.images.shape, small.labels.shape) == ((3, 4, 6, 3), (3, 8, 12, 3))
    np.testing.assert_array_equal(small.labels, pictures[[2, 0, 1], :8])
    np.testing.assert_array_equal(small.images, scaled(small.labels, (4, 6)))
    np.testing.assert_array_equal(small.images, again.images)
    np.testing.assert_array_equal(noise.labels, pictures[[1, 2]])
    names = constant_draws(["roses/b.png", "c.png"])
    np.testing.assert_array_equal(noise.images, noisy(torch.from_numpy(noise.labels), 9.0, names).numpy())


def test_a_folder_of_pairs_needs_no_effect(tmp_path: Path) -> None:
    draw_pairs(tmp_path, 2)

    with pytest.raises(UsageError, match=r"has input/ and target/, so no inputs are to be made\nLeave `input_effect` out"):
        open_data(tmp_path, form=Form(effect="grey"))
    measured = open_data(tmp_path, form=Form(effect="noise:9"), to_train=False)  # by a model that learned from noise made
    np.testing.assert_array_equal(measured.read("train").images, measured.read("train").labels)


def test_grey_pictures_cannot_teach_colours(tmp_path: Path) -> None:
    save(tmp_path, a=random_pictures(4, 4, 1))

    for data in (tmp_path, random_pictures(2, 4, 4)):
        with pytest.raises(DataError, match=r"the pictures are grey already, so `input_effect='grey'` makes nothing of them"):
            open_data(data, form=Form(effect="grey"))


# ---- a list of what to drop


def test_pairs_are_left_out_of_which_either_file_is_on_the_list(tmp_path: Path) -> None:
    """By its target, by its input, and one whose file has changed since, which is read."""
    root = draw_pairs(tmp_path / "pairs", 4)
    listed = [root / "target" / "p0.png", root / "input" / "p2.png", root / "input" / "p3.png"]
    rows = [
        DropRow(True, path.relative_to(root).as_posix(), digest, "blurred")
        for path, digest in zip(listed, file_digests(listed), strict=True)
    ]
    rows[2] = rows[2]._replace(digest=b"changed.")
    write_drop_list(tmp_path / "drop.csv", rows)

    source = open_data(root, task="restore", drop=tmp_path / "drop.csv")

    data = source.read("train")
    assert [Path(path).name for path in source.paths("train")] == ["p1.png", "p3.png"]
    np.testing.assert_array_equal(data.labels, open_pairs(root).read("train").labels[[1, 3]])
    assert any("2 files left out, as the list of what to drop says" in note for note in source.notes)
    assert any("drop.csv: 1 picture has changed since the list was written, read: input/p3.png" in note for note in source.notes)


@pytest.mark.parametrize("effect", [None, "noise:9"])
def test_pairs_of_arrays_and_pictures_whose_inputs_are_made_are_left_out_by_their_numbers(effect: str | None, tmp_path: Path) -> None:
    pictures = random_pictures(4, 6, 8, 3)
    names = open_data((pictures, pictures), task="restore", form=Form(effect=effect)).identities("train").names
    write_drop_list(tmp_path / "drop.csv", [DropRow(True, names[1], picture_digests(pictures)[1], "a copy")])

    source = open_data((pictures, pictures), task="restore", form=Form(effect=effect), drop=tmp_path / "drop.csv")

    data = source.read("train", places=np.array([2, 1]))
    assert source.num_images("train") == 3
    np.testing.assert_array_equal(data.labels, pictures[[3, 2]])
    assert (data.images != data.labels).any() == (effect is not None)


# ---- arrays


def test_arrays_are_pairs_and_a_file_of_them_has_splits(tmp_path: Path) -> None:
    x, y = random_pictures(4, 5, 6), random_pictures(4, 10, 12, 3, seed=1)
    np.savez(tmp_path / "pairs.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])

    for data, splits in (((x, y), ("train",)), (tmp_path / "pairs.npz", ("train", "test"))):
        source = open_data(data, task="restore")
        pairs = source.read("train")
        assert isinstance(source, PairSource)
        assert (source.splits, source.scale, source.channels, source.classes) == (splits, 2, 1, ("red", "green", "blue"))
        np.testing.assert_array_equal(pairs.images[..., 0], x)
        np.testing.assert_array_equal(pairs.labels, y)


def test_pictures_alone_are_targets_where_an_effect_makes_the_inputs() -> None:
    x = random_pictures(3, 6, 8, 3)

    for data in (x, (x, np.array([0, 1, 0]))):
        pairs = open_data(data, form=Form(effect="grey")).read("train")
        np.testing.assert_array_equal(pairs.labels, x)
        np.testing.assert_array_equal(pairs.images, grey(x))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (random_pictures(3, 6, 8), r"arrays: Y has 3 pictures for 4 of X\nGive one target per picture"),
        (random_pictures(4, 6, 12), r"arrays: Y: has 6 x 12 pixels for an input of 6 x 8\nA target must be as large"),
        (random_pictures(4, 3, 4), r"arrays: Y: has 3 x 4 pixels for an input of 6 x 8"),
        (np.zeros((4, 6, 8), complex), r"arrays: Y must be uint8, or floats in \[0, 1\]"),
        (np.arange(4), r"arrays: Y must be pictures"),
    ],
)
def test_targets_that_do_not_fit_their_inputs_are_refused(y: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_data((random_pictures(4, 6, 8), y), task="restore")


def test_splits_have_the_same_factor_and_channels() -> None:
    x = random_pictures(2, 4, 4, 3)

    with pytest.raises(DataError, match="pairs: Y has 4 x 4 pixels for an input of 4 x 4, expected 2 times as large"):
        pairs_of_arrays({"train": (x, enlarged(x, 2)), "test": (x, x)}, "pairs", FIELDS)
    with pytest.raises(DataError, match="pairs: Y has 1 channels, the train split 3"):
        pairs_of_arrays({"train": (x, x), "test": (x, x[..., :1])}, "pairs", FIELDS)


def test_data_with_other_channels_than_a_model_gives_is_refused() -> None:
    source = open_data((random_pictures(2, 4, 4), random_pictures(2, 4, 4, 3)), task="restore")

    with pytest.raises(DataError, match=r"the targets have 3 channels \(red, green, blue\), but the model gives 1 \(grey\)"):
        source.with_classes(("grey",))


# ---- batches


def pair_set(scale: int, effect: InputEffect | None = None, count: int = 7) -> PairSet:
    inputs = random_pictures(count, 6, 9, 3)
    return PairSet("set", "train", inputs, enlarged(inputs, scale), ("red", "green", "blue"), tuple(map(str, range(count))), effect)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_an_input_and_its_target_move_together(scale: int) -> None:
    batches = PairBatches(pair_set(scale), 4, seed=3, shuffle=True, augmentation=Augmentation(crop_padding=2, flip=True), workers=1)

    seen = []
    for epoch in (1, 2):
        for images, targets, *_ in batches.epoch(epoch):
            assert targets.shape == (len(images), 3, 6 * scale, 9 * scale)
            expected = enlarged(images.numpy(), scale).transpose(0, 3, 1, 2) / np.float32(255)
            np.testing.assert_allclose(targets.numpy(), expected, rtol=0, atol=1e-7)
            seen += [image.tobytes() for image in images.numpy()]
    originals = {image.tobytes() for image in pair_set(scale).images}
    assert len(set(seen) - originals) > len(originals)


def test_noise_is_new_each_epoch_of_a_training_and_the_same_where_it_is_measured() -> None:
    effect = InputEffect.read("noise:20")
    pairs = pair_set(1, effect)
    training, measuring = (PairBatches(pairs, 7, seed=1, shuffle=shuffle) for shuffle in (True, False))

    first, again, second = (next(iter(training.epoch(epoch))) for epoch in (1, 1, 2))

    torch.testing.assert_close(first.images, again.images, rtol=0, atol=0)
    order = first.indices.argsort(), second.indices.argsort()
    torch.testing.assert_close(first.labels[order[0]], second.labels[order[1]], rtol=0, atol=0)
    assert not torch.equal(first.images[order[0]], second.images[order[1]])
    assert 10 < (first.images.double() - 255 * first.labels.movedim(1, -1).double()).std() < 25
    for epoch in (1, 2):
        np.testing.assert_array_equal(next(iter(measuring.epoch(epoch))).images.numpy(), pairs.images)


def test_an_augmentation_of_colours_or_a_mirrored_edge_of_larger_targets_is_refused() -> None:
    with pytest.raises(UsageError, match="augmentation of pictures with targets: hue cannot be used"):
        PairBatches(pair_set(1), 2, augmentation=Augmentation(hue=0.1))
    with pytest.raises(UsageError, match="pad_mode 'reflect': an input and its larger target have no edge in common"):
        PairBatches(pair_set(2), 2, augmentation=Augmentation(crop_padding=1, pad_mode="reflect"))


def test_a_part_of_a_set_keeps_its_targets() -> None:
    pairs = pair_set(2)
    some = pairs.take([4, 1])

    np.testing.assert_array_equal(some.labels, enlarged(some.images, 2))
    np.testing.assert_array_equal(some.images, pairs.images[[4, 1]])
    assert some.joined(some).labels.shape == (4, 12, 18, 3)
