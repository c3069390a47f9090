"""Folders of pictures with masks: what is read, how a mask follows its picture, and what is wrong with a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import DataError, UsageError
from striate.core.images import ImageSpec
from striate.data.augmentation.record import Augmentation
from striate.data.decode import decode_mask
from striate.data.dropped import DropRow, write_drop_list
from striate.data.fitting import fit_image, fit_mask, unfit_mask
from striate.data.identities import file_digests
from striate.data.mask_batches import MaskBatches
from striate.data.masks import MaskedSet, open_masks
from striate.data.sources import open_data
from striate.data.splits import split_train_val

HEIGHT, WIDTH = 6, 9
Encode = Callable[..., bytes]


def spec_of(height: int, width: int, fit: str = "stretch", channels: int = 3) -> ImageSpec:
    return ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, fit=fit)


def stripes(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A mask of columns 0, 1, 2, 0, 1, 2, ..., and one pixel without a class."""
    mask = np.tile(np.arange(width, dtype=np.uint8) % 3, (height, 1))
    mask[1, 2] = 255
    return mask


def write(path: Path, content: np.ndarray | Image.Image | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        (content if isinstance(content, Image.Image) else Image.fromarray(content)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures whose every channel is the mask times 50 (255 where there is no class)."""
    root = tmp_path / "scenes"
    for name, mask in (("a", stripes()), ("b", stripes()[:, ::-1])):
        picture = np.where(mask == 255, 255, mask * 50).astype(np.uint8)
        write(root / "images" / f"{name}.png", np.stack([picture] * 3, -1))
        write(root / "masks" / f"{name}.png", mask)
    return root


def test_a_picture_whose_mask_is_on_the_list_of_what_to_drop_is_left_out(folder: Path, tmp_path: Path) -> None:
    mask = folder / "masks" / "a.png"
    write_drop_list(tmp_path / "drop.csv", [DropRow(True, "masks/a.png", file_digests([mask])[0], "wrong")])

    source = open_data(folder, task="segment", drop=tmp_path / "drop.csv")

    assert source.paths("train") == (str(folder / "images" / "b.png"),)
    assert any("1 file left out, as the list of what to drop says" in note for note in source.notes)


def test_a_folder_gives_pictures_masks_and_numbered_classes(folder: Path) -> None:
    source = open_masks(folder)
    data = source.read("train", spec=spec_of(HEIGHT, WIDTH))

    assert (source.name, source.classes, source.channels) == ("scenes", ("0", "1", "2"), 3)
    assert (source.image_size, source.splits, source.notes) == ((HEIGHT, WIDTH), ("train",), ())
    assert data.images.shape == (2, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(data.labels, [stripes(), stripes()[:, ::-1]])
    np.testing.assert_array_equal(data.images[..., 1], np.where(data.labels == 255, 255, data.labels * 50))
    assert [Path(path).name for path in data.paths] == ["a.png", "b.png"]


def test_classes_are_counted_in_pixels_and_pictures_of_one_size_need_no_spec(folder: Path) -> None:
    source = open_masks(folder)

    assert source.num_images("train") == 2
    assert source.class_counts("train") == {"0": 36, "1": 36, "2": 34}
    np.testing.assert_array_equal(source.read("train").labels[0], stripes())
    write(folder / "images" / "c.png", np.zeros((2, 3, 3), np.uint8))
    write(folder / "masks" / "c.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(DataError, match="scenes: the pictures have different sizes"):
        open_masks(folder).read("train")


def test_a_palette_gives_its_indices_not_its_colours(folder: Path) -> None:
    coloured = Image.fromarray(stripes()).convert("P")
    coloured.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200] + [9] * 759)
    write(folder / "masks" / "a.png", coloured)

    np.testing.assert_array_equal(decode_mask(folder / "masks" / "a.png"), stripes())


def test_black_and_white_masks_hold_0_and_1(tmp_path: Path) -> None:
    write(tmp_path / "m.png", Image.fromarray(np.array([[0, 255, 0], [255, 255, 0]], np.uint8)).convert("1"))

    np.testing.assert_array_equal(decode_mask(tmp_path / "m.png"), [[0, 1, 0], [1, 1, 0]])


def test_splits_go_by_their_synonyms_and_classes_by_their_names(folder: Path) -> None:
    (folder / "training").mkdir()
    for kind in ("images", "masks"):
        (folder / kind).rename(folder / "training" / kind)
    write(folder / "Dev" / "images" / "sub" / "c.jpg", np.zeros((4, 5, 3), np.uint8))
    write(folder / "Dev" / "masks" / "sub" / "c.png", np.zeros((4, 5), np.uint8))
    (folder / "classes.txt").write_text("ground\ndisc\nrectangle\ncar\n\n", encoding="utf-8")

    source = open_masks(folder)

    assert source.classes == ("ground", "disc", "rectangle", "car")
    assert (source.splits, source.image_size) == (("train", "val"), None)
    assert sorted(source.notes) == ["Dev/ is read as the val split", "training/ is read as the train split"]
    assert source.read("val", spec=spec_of(4, 5)).labels.shape == (1, 4, 5)
    with pytest.raises(DataError, match="scenes has no test split; it has train, val"):
        source.read("test", spec=spec_of(4, 5))


# ---- what is wrong


def broken(folder: Path, **spec: int) -> str:
    """The message of the error that reading gives."""
    with pytest.raises(DataError) as caught:
        open_masks(folder).read("train", spec=spec_of(HEIGHT, WIDTH))
    assert caught.value.remedy
    return caught.value.message


def test_a_missing_mask_is_named(folder: Path) -> None:
    (folder / "masks" / "b.png").unlink()
    assert broken(folder) == f"1 file missing: {folder / 'masks' / 'b.png'}, the mask of b.png"
    write(folder / "masks" / "b.jpg", stripes())
    assert broken(folder) == f"1 file missing: {folder / 'masks' / 'b.png'}, the mask of b.png; b.jpg is not a PNG file"


def test_a_folder_without_masks_is_named(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.unlink()
    (folder / "masks").rmdir()
    assert broken(folder).startswith(f"2 files missing: {folder / 'masks' / 'a.png'}, {folder / 'masks' / 'b.png'}")


def test_a_mask_of_another_size_is_named(folder: Path) -> None:
    write(folder / "masks" / "b.png", stripes(HEIGHT, WIDTH - 1))
    assert broken(folder) == f"{folder / 'masks' / 'b.png'}: has 6 x 8 pixels, but its picture b.png has 6 x 9"


def test_an_index_of_no_class_is_named_with_its_place(folder: Path) -> None:
    (folder / "classes.txt").write_text("ground\ndisc")
    words = f"{folder / 'masks' / 'a.png'}: 17 pixels hold an index without a class, such as 2 at row 0, column 2; the data has 2 classes"
    assert broken(folder) == words


@pytest.mark.parametrize(
    ("mode", "what"),
    [("RGB", "colours (mode RGB)"), ("RGBA", "colours (mode RGBA)"), ("LA", "transparency (mode LA)"), ("I;16", "16 bits (mode I;16)")],
)
def test_a_mask_that_holds_no_indices_is_named(folder: Path, mode: str, what: str) -> None:
    colour = {"RGB": (9, 0, 0), "RGBA": (9, 0, 0, 255), "LA": (0, 0), "I;16": 300}[mode]
    write(folder / "masks" / "a.png", Image.new(mode, (WIDTH, HEIGHT), colour))
    assert broken(folder) == f"{folder / 'masks' / 'a.png'}: a mask must hold class indices, got a picture with {what}"


def test_a_mask_that_only_claims_to_be_png_is_named(folder: Path, encode: Encode) -> None:
    write(folder / "masks" / "a.png", encode(stripes(), "JPEG"))
    assert broken(folder) == f"{folder / 'masks' / 'a.png'}: a mask must be a PNG file, got JPEG"


def test_a_damaged_mask_is_named(folder: Path) -> None:
    path = folder / "masks" / "a.png"
    path.write_bytes(path.read_bytes()[:60])
    assert broken(folder).startswith(f"{path}: cannot be read as a picture: ")


def test_a_folder_without_pictures_is_named(tmp_path: Path, folder: Path) -> None:
    assert broken(tmp_path / "scenes" / "masks") == f"{folder / 'masks'}: no pictures in images/"
    write(tmp_path / "x" / "test" / "images" / "a.png", stripes())
    with pytest.raises(DataError) as caught:
        open_masks(tmp_path / "x")
    assert caught.value.message == f"{tmp_path / 'x'}: has test/ but no train/"
    assert caught.value.remedy == f"Put the training pictures in {tmp_path / 'x' / 'train'}/{{images,masks}}/."


def test_a_damaged_picture_stops_or_is_left_out(folder: Path) -> None:
    path = folder / "images" / "a.png"
    path.write_bytes(path.read_bytes()[:60])

    assert "cannot be read" in broken(folder)
    source = open_masks(folder, skip_unreadable=True)
    assert source.notes == (f"1 file unreadable and left out: {path}",)
    assert len(source.read("train", spec=spec_of(HEIGHT, WIDTH))) == 1


def test_two_pictures_cannot_share_a_mask(folder: Path) -> None:
    write(folder / "images" / "a.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert broken(folder) == f"{folder / 'images' / 'a.jpg'} and a.png would share the mask {folder / 'masks' / 'a.png'}"


def test_a_mask_without_a_picture_is_told_and_left_out(folder: Path) -> None:
    write(folder / "masks" / "z.png", stripes())
    assert open_masks(folder).notes == (f"1 file in masks/ without a picture, ignored: {folder / 'masks' / 'z.png'}",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ground\n\ndisc\n", "classes.txt, line 2: no name"),
        ("ground\ndisc\nground", "classes.txt, line 3: 'ground' appears twice"),
        ("ground", "a classifier needs at least two classes, got only 'ground'"),
        ("\n".join(map(str, range(256))), "classes.txt: 256 classes; a mask can hold at most 255"),
    ],
)
def test_bad_class_names_are_named(folder: Path, text: str, words: str) -> None:
    (folder / "classes.txt").write_text(text)
    assert words in broken(folder)


def test_a_pipe_in_place_of_the_class_names_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "classes.txt")
    assert "classes.txt: not a plain file" in broken(folder)


def test_masks_of_one_class_are_refused(folder: Path) -> None:
    for name in "ab":
        write(folder / "masks" / f"{name}.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    assert "needs at least two classes, got only '0'" in broken(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_list_of_classes_is_named(folder: Path) -> None:
    (folder / "classes.txt").touch(mode=0o000)
    assert "classes.txt: cannot read" in broken(folder)


# ---- geometry


def slow_nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixel of `mask` in which the centre of each new pixel lies."""
    height, width = mask.shape
    rows = [int((y + 0.5) * height / size[0]) for y in range(size[0])]
    columns = [int((x + 0.5) * width / size[1]) for x in range(size[1])]
    return np.array([[mask[row, column] for column in columns] for row in rows])


@pytest.mark.parametrize("size", [(6, 9), (3, 5), (12, 18), (7, 4), (17, 31)])
def test_a_stretched_mask_takes_the_nearest_pixel(size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).integers(0, 200, (6, 9)).astype(np.uint8)

    np.testing.assert_array_equal(fit_mask(mask, spec_of(*size)), slow_nearest(mask, size))


def test_a_padded_mask_has_no_class_in_the_padding() -> None:
    mask = stripes(10, 8)

    fitted = fit_mask(mask, spec_of(12, 10, "pad"))  # a growth of a quarter at most keeps the pixels

    expected = np.full((12, 10), 255)
    expected[1:11, 1:9] = mask
    np.testing.assert_array_equal(fitted, expected)


def test_a_cropped_mask_is_the_middle() -> None:
    mask = stripes(6, 11)

    np.testing.assert_array_equal(fit_mask(mask, spec_of(6, 4, "crop")), mask[:, 3:7])


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(40, 52), (20, 30), (64, 64), (90, 33), (48, 64)])
def test_a_mask_lies_where_its_picture_lies(fit: str, size: tuple[int, int]) -> None:
    """A picture that is white where the mask is 1, both fitted: they agree but for pixels on the border."""
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 22:50] = 1
    spec = spec_of(*size, fit, channels=1)

    grey = fit_image(255 * mask[..., None], spec)[..., 0]
    fitted = fit_mask(mask, spec)

    inside = (fitted != 255) & ((grey < 60) | (grey > 195))
    assert inside.sum() > 0.75 * (fitted != 255).sum()
    np.testing.assert_array_equal((grey > 127)[inside], (fitted == 1)[inside])


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_mask_that_was_enlarged_comes_back_as_it_was(fit: str) -> None:
    """Enlarged by a factor of 2 or more, no pixel is lost; what a crop cuts off has no class."""
    mask = np.random.default_rng(1).integers(0, 200, (11, 14)).astype(np.uint8)
    spec = spec_of(26, 28, fit)

    back = unfit_mask(fit_mask(mask, spec), spec, (11, 14))

    expected = mask.copy()
    if fit == "crop":  # 26 x 28 shows 11 rows and 154 / 13 = 11.85 columns; a pixel counts where its centre is seen
        expected[:, 0], expected[:, -1] = 255, 255
    np.testing.assert_array_equal(back, expected)


# ---- splits and batches


def striped(count: int = 7) -> MaskedSet:
    """Noise masks of classes 0 to 6, each picture being its mask times 30 in two channels."""
    masks = np.random.default_rng(2).integers(0, 7, (count, HEIGHT, WIDTH)).astype(np.uint8)
    packed = np.stack([masks * 30, masks * 30, 255 - masks], -1)
    return MaskedSet.unpacked("noise", "train", packed, tuple("0123456"), tuple(f"images/{i}.png" for i in range(count)))


@pytest.mark.parametrize("augmentation", [None, Augmentation(flip=True), Augmentation(crop_padding=2, flip=True)])
def test_a_mask_moves_with_its_picture(augmentation: Augmentation | None) -> None:
    batches = MaskBatches(striped(), 3, seed=5, shuffle=True, augmentation=augmentation)

    seen, padded, moved = [], 0, 0
    for batch in batches.epoch(2):
        assert batch.images.shape[1:] == (HEIGHT, WIDTH, 2)
        inside = batch.labels != 255
        assert (batch.images[..., 0][inside] == 30 * batch.labels[inside]).all()
        assert (batch.images[..., 0][~inside] == 0).all()
        padded += int((~inside).sum())
        moved += int((batch.labels.numpy() != striped().labels[batch.indices.numpy()]).sum())
        seen += batch.indices.tolist()

    assert sorted(seen) == list(range(7))
    assert (padded > 0) == (augmentation is not None and augmentation.crop_padding > 0)
    assert (moved > 0) == (augmentation is not None)


def test_mirrored_padding_has_classes() -> None:
    batches = MaskBatches(striped(), 3, augmentation=Augmentation(crop_padding=2, pad_mode="reflect"))

    assert all((batch.labels < 7).all() and (batch.images[..., 1] == 30 * batch.labels).all() for batch in batches.epoch(1))


def test_the_held_out_pictures_do_not_depend_on_their_order() -> None:
    data = striped(10)
    train, val = split_train_val(data, fraction=0.3, seed=4)
    _, again = split_train_val(data.take(np.arange(10)[::-1]), fraction=0.3, seed=4)

    assert (len(train), len(val), val.split) == (7, 3, "val")
    assert set(train.paths) | set(val.paths) == set(data.paths)
    assert set(again.paths) == set(val.paths)
    np.testing.assert_array_equal(val.labels, data.labels[[data.paths.index(path) for path in val.paths]])
    with pytest.raises(DataError, match="the data has 1 training picture; at least 2 are needed"):
        split_train_val(data.take(np.array([0])), fraction=0.3, seed=4)
    with pytest.raises(UsageError, match=r"must lie between 0 and 1, got 1\.5"):
        split_train_val(data, fraction=1.5, seed=4)


# ---- what is left out


def test_what_is_no_picture_with_a_mask_is_counted(folder: Path) -> None:
    write(folder / "masks" / "z.png", stripes())
    write(folder / "masks" / "@eaDir" / "a.png", stripes())
    write(folder / "extra" / "e.png", stripes())
    write(folder / "loose.png", stripes())
    for name in ("images/notes.txt", "masks/classes.csv", "readme.md", "classes.txt"):
        (folder / name).write_text("ground\ndisc\nrectangle\ncar\n", encoding="utf-8")

    counts = {omission.why: omission.count for omission in open_masks(folder).left_out}

    assert counts == {
        "ignored, no pictures": 3,
        "ignored, in neither images/ nor masks/": 2,
        "in masks/ without a picture, ignored": 1,
        "left out, hidden or in system folders such as thumbnails and trash": 1,
    }


def test_a_picture_that_is_not_decoded_stops_or_is_left_out_with_its_mask(folder: Path) -> None:
    (folder / "images" / "h.jxl").write_bytes(b"\0\0\0\x0cJXL " + bytes(40))
    write(folder / "masks" / "h.png", stripes())
    assert broken(folder).endswith("h.jxl (JPEG XL pictures are not supported)")
    source = open_masks(folder, skip_unreadable=True)
    assert source.notes == (f"1 file unreadable and left out: {folder / 'images' / 'h.jxl'}",) and source.num_images("train") == 2


# ---- what the numbers mean


def two_tones(folder: Path, white: int = 255, dtype: type = np.uint8) -> np.ndarray:
    """Masks of `folder` that are black and white; what is read of them."""
    for name in "ab":
        write(folder / "masks" / f"{name}.png", np.where(stripes() == 1, white, 0).astype(dtype))
    return (stripes() == 1).astype(np.uint8)


@pytest.mark.parametrize(("white", "dtype"), [(255, np.uint8), (65535, np.uint16)])
def test_black_and_white_masks_are_two_classes_and_it_is_said(folder: Path, white: int, dtype: type) -> None:
    expected = two_tones(folder, white, dtype)

    source = open_masks(folder)

    assert source.classes == ("background", "object")
    assert source.notes == ("masks of 0 and 255 alone: black is read as class 'background', white as class 'object'",)
    np.testing.assert_array_equal(source.read("train").labels[0], expected)
    assert source.class_counts("train")["object"] == 2 * expected.sum()
    (folder / "classes.txt").write_text("ground\ndisc")
    assert open_masks(folder).classes == ("ground", "disc")
    np.testing.assert_array_equal(open_masks(folder).read("train").labels[0], expected)


def test_255_has_no_class_where_there_are_indices(folder: Path) -> None:
    """As VOC has it; also where only one mask of all tells that these are indices."""
    expected = two_tones(folder)
    write(folder / "masks" / "b.png", expected)
    source = open_masks(folder)
    assert source.classes == ("0", "1") and source.notes == ()
    assert set(np.unique(source.read("train").labels[0]).tolist()) == {0, 255}


def test_another_value_among_black_and_white_masks_is_named(folder: Path) -> None:
    two_tones(folder)
    for kind in ("images", "masks"):
        write(folder / "train" / kind / "a.png", (folder / kind / "a.png").read_bytes())
        write(folder / "val" / kind / "a.png", stripes() if kind == "masks" else (folder / kind / "a.png").read_bytes())
        for path in (folder / kind).iterdir():
            path.unlink()
        (folder / kind).rmdir()
    with pytest.raises(DataError, match=r"val/masks/a\.png: holds 1 and 2, but the training masks are black and white") as caught:
        open_masks(folder).read("val")
    assert caught.value.remedy


@pytest.mark.parametrize("greys", [[0, 128, 255], [0, 85, 170], [0, 200]])
def test_greys_that_are_no_indices_are_refused_and_the_remedy_writes_them(folder: Path, greys: list[int]) -> None:
    painted = np.array(greys, np.uint8)[np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % len(greys)]
    for name in "ab":
        write(folder / "masks" / f"{name}.png", painted)
    with pytest.raises(DataError, match="which look like greys of") as caught:
        open_masks(folder)

    line = caught.value.remedy.rpartition("mask = ")[2]
    for name in "ab":
        write(folder / "masks" / f"{name}.png", eval(line, {"mask": painted, "np": np}))
    assert open_masks(folder).classes == tuple(map(str, range(len(greys))))


def test_greys_of_named_classes_are_told_how_to_become_indices(folder: Path) -> None:
    (folder / "classes.txt").write_text("ground\ndisc\ncar")
    painted = np.array([0, 100, 200], np.uint8)[stripes() % 3]
    write(folder / "masks" / "a.png", painted)
    with pytest.raises(DataError, match="hold an index without a class, such as 100") as caught:
        open_masks(folder).read("train")
    written = eval(caught.value.remedy.rpartition("mask = ")[2], {"mask": painted, "np": np})
    np.testing.assert_array_equal(written, stripes() % 3)


def test_smoothed_edges_are_refused_and_the_remedy_undoes_them(folder: Path) -> None:
    smooth = np.linspace(0, 255, HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH)
    for name in "ab":
        write(folder / "masks" / f"{name}.png", smooth)
    with pytest.raises(DataError, match="54 different values up to 255: their edges were smoothed, or they were saved as JPEG") as caught:
        open_masks(folder)
    for name in "ab":
        write(folder / "masks" / f"{name}.png", eval(caught.value.remedy.rpartition("mask = ")[2], {"mask": smooth, "np": np}))
    np.testing.assert_array_equal(open_masks(folder).read("train").labels[0], smooth >= 128)


def test_grey_that_is_kept_in_colours_or_in_16_bits_is_read_as_it_is(tmp_path: Path) -> None:
    opaque = np.full_like(stripes(), 255)
    kept = (np.dstack([stripes()] * 3), np.dstack([stripes()] * 3 + [opaque]), np.dstack([stripes(), opaque]), stripes().astype(np.uint16))
    for place, pixels in enumerate(kept):
        write(tmp_path / f"{place}.png", pixels)
        np.testing.assert_array_equal(decode_mask(tmp_path / f"{place}.png"), stripes())


def test_painted_masks_are_told_how_to_become_indices(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [0, 0, 200], [200, 0, 0]], np.uint8)
    rgb = colours[stripes() % 3]
    write(tmp_path / "m.png", rgb)
    with pytest.raises(DataError, match="got a picture with colours") as caught:
        decode_mask(tmp_path / "m.png")
    assert f"colours = {colours.tolist()}" in caught.value.remedy
    line = caught.value.remedy.rpartition("mask = ")[2]
    np.testing.assert_array_equal(eval(line, {"rgb": rgb, "colours": colours}), stripes() % 3)
