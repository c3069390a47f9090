"""The pictures of a run: whole PNG files, the same for the same data, whatever the names, sizes and the user's settings."""

from __future__ import annotations

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from striate.core.errors import ShapeError, UsageError
from striate.drawing import curves, pictures
from striate.drawing.curves import curves_picture
from striate.drawing.pictures import confusion_picture, mistakes_picture, montage, predictions_picture
from striate.drawing.style import short_name


def pixels(png: bytes) -> np.ndarray:
    """(H, W, 3) uint8 of a PNG file."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn, last one last."""
    figures: list[Figure] = []
    save = pictures.png_bytes

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return save(figure)

    for module in (pictures, curves):
        monkeypatch.setattr(module, "png_bytes", keep)
    return figures


def words(figure: Figure) -> list[str]:
    """Every visible text of a figure."""
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text()]


def epochs(count: int) -> list[dict[str, object]]:
    """Rows of a training that goes well."""
    return [
        {"epoch": e, "train_loss": 2.0 / e, "val_loss": 2.2 / e, "val_accuracy": 1 - 0.5 / e, "learning_rate": 0.1 / e, "seconds": 1.0}
        for e in range(1, count + 1)
    ]


def test_a_confusion_picture_tells_counts_and_accuracy(drawn: list[Figure]) -> None:
    confusion = np.array([[7, 2, 0], [0, 1234, 0], [0, 0, 0]])

    png = confusion_picture(confusion, ("cat", "dog", "eel"), title="lenet5 on pets")

    texts = words(drawn[-1])
    assert "lenet5 on pets\n1,243 images, accuracy 99.84 %, grey: no images of the class" in texts
    for word in ("7", "2", "1,234", "cat", "dog", "eel", "true class", "predicted class", "share of the true class (%)"):
        assert word in texts
    assert [text.get_position() for text in drawn[-1].axes[0].texts if text.get_text() == "2"] == [(1, 0)]  # x: predicted, y: true
    assert drawn[-1].axes[1].get_ylim() == (0, 100)  # the colour bar
    assert (pixels(png) == (221, 221, 221)).all(-1).sum() > 1000  # the grey row


def test_a_confusion_picture_has_true_classes_as_rows() -> None:
    """All mass at (true 0, predicted 1): dark at the top right of the matrix, no dark square elsewhere."""
    png = confusion_picture([[0, 5], [0, 5]], ("a", "b"))

    image = pixels(png).astype(int)
    dark_blue = (image[..., 2] - image[..., 0] > 80) & (image[..., 0] < 20)  # (H, W)
    matrix = dark_blue[:, : int(image.shape[1] * 0.7)]  # without the colour bar
    columns = np.flatnonzero(matrix.sum(0) > 20)
    assert 60 < columns[-1] - columns[0] < 130  # one cell wide: both rows are in the right column


@pytest.mark.parametrize(("num_classes", "numbers", "named"), [(2, True, 2), (10, True, 10), (100, False, 100), (250, False, 84)])
def test_a_confusion_picture_is_readable_at_any_number_of_classes(num_classes: int, numbers: bool, named: int, drawn: list[Figure]) -> None:
    """Numbers stand only where they fit; names thin out beyond a hundred; the picture stays below 2,000 pixels."""
    confusion = np.full((num_classes, num_classes), 10)

    image = pixels(confusion_picture(confusion, [f"class_{k}" for k in range(num_classes)]))

    assert ("10" in [text.get_text() for text in drawn[-1].axes[0].texts]) is numbers
    assert len(drawn[-1].axes[0].get_yticks()) == named
    assert max(image.shape) < 2000
    smallest = min(float(text.get_fontsize()) for text in drawn[-1].findobj(Text) if isinstance(text, Text) and text.get_text())
    assert smallest >= 5.5


@pytest.mark.parametrize("name", ["$\\frac{$", "雏菊", "a\tb\x00\udcff", "x" * 300, "_private", ""])
def test_any_class_name_can_be_drawn(name: str) -> None:
    """Mathematics signs, other scripts, control characters, very long ones."""
    images = np.zeros((1, 6, 5, 3), np.uint8)

    made = [
        confusion_picture([[1, 0], [0, 1]], (name, "b"), title=name),
        mistakes_picture(images, [name], ["b"], [0.5], num_mistakes=1, num_images=2),
        predictions_picture(images, [[(name, 0.9), ("b", 0.1)]], [name + ".png"]),
        curves_picture(epochs(2), title=name),
    ]

    assert all(max(pixels(png).shape) < 2000 for png in made)


def test_long_names_keep_both_ends() -> None:
    assert short_name("American Staffordshire Terrier, blue", 20) == "American S…ier, blue"
    assert len(short_name("x" * 99, 24)) == 24
    assert short_name("exactly twenty chars", 20) == "exactly twenty chars"


def test_curves_have_units_and_whole_epochs(drawn: list[Figure]) -> None:
    curves_picture(epochs(3), title="lenet5 on mnist")

    figure = drawn[-1]
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (nats)", "accuracy (%)", "learning rate"]
    assert figure.axes[-1].get_xlabel() == "epoch"
    assert all(tick == int(tick) for axes in figure.axes for tick in axes.get_xticks())
    assert list(np.asarray(figure.axes[1].lines[0].get_ydata())) == pytest.approx([50, 75, 100 * (1 - 0.5 / 3)])
    texts = words(figure)
    assert "lenet5 on mnist" in texts and "best val accuracy 83.33 % in epoch 3" in texts
    assert {"train", "val"} <= set(texts)


def test_curves_of_one_epoch_are_points(drawn: list[Figure]) -> None:
    curves_picture(epochs(1))

    assert all(line.get_marker() == "o" for axes in drawn[-1].axes for line in axes.lines)
    ticks = [tick for tick in drawn[-1].axes[-1].get_xticks() if 0.5 <= tick <= 1.5]
    assert ticks == [1]


def test_curves_leave_out_what_was_not_measured(drawn: list[Figure]) -> None:
    """Text as it stands in a CSV file, empty cells, missing columns and None."""
    rows: list[dict[str, object]] = [
        {"epoch": "1", "train_loss": "90.0", "val_loss": "", "val_accuracy": None},
        {"epoch": "2", "train_loss": "0.5", "val_loss": ""},
    ]

    curves_picture(rows)

    assert [axes.get_ylabel() for axes in drawn[-1].axes] == ["loss (nats, log scale)"]
    assert len(drawn[-1].axes[0].lines) == 1


def test_curves_without_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="no epochs to draw"):
        curves_picture([])
    with pytest.raises(UsageError, match="neither losses, accuracies nor learning rates"):
        curves_picture([{"epoch": 1}])
    with pytest.raises(UsageError, match="metrics: val_loss of row 2 must be a number, got 'high'"):
        curves_picture([{"epoch": 1, "val_loss": 1}, {"epoch": 2, "val_loss": "high"}])


def test_tiny_images_are_enlarged_in_whole_squares() -> None:
    """An image of 2 x 3 pixels in six colours: the picture has large areas of exactly these."""
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[200, 100, 0], [0, 200, 100], [100, 0, 200]]], np.uint8)

    image = pixels(montage(colours[None], title="six"))

    areas = [int((image == colour).all(-1).sum()) for colour in colours.reshape(6, 3)]
    assert min(areas) > 800 and max(areas) < 1.15 * min(areas)
    red, green, orange = (np.argwhere((image == colours[place]).all(-1)).mean(0) for place in ((0, 0), (0, 1), (1, 0)))
    assert green[1] > red[1] + 20 and orange[0] > red[0] + 20  # as in the array: right is right, down is down


def test_a_montage_is_read_row_by_row() -> None:
    """Seven grey images in three columns lie in reading order."""
    values = [30, 60, 90, 120, 150, 180, 210]
    images = np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 6, 9, 1), np.uint8)

    image = pixels(montage(images, title="t", columns=3))

    centres = [np.argwhere((image == value).all(-1)).mean(0) for value in values]  # (row, column)
    order = sorted(range(7), key=lambda i: (round(centres[i][0] / 20), centres[i][1]))
    assert order == list(range(7))
    assert np.ptp([centres[i][1] for i in (0, 3, 6)]) < 2


def test_grey_is_grey_and_other_channels_are_averaged() -> None:
    grey = pixels(montage(np.full((1, 4, 7, 1), 77, np.uint8), title="t"))
    two = np.full((1, 4, 7, 2), 50, np.uint8)
    two[..., 1] = 104

    averaged = pixels(montage(two, title="t"))

    assert (grey == 77).all(-1).sum() > 3000
    assert (averaged == grey).all()


def test_large_images_are_reduced_smoothly() -> None:
    """One-pixel stripes become grey instead of a coarse pattern of stripes."""
    stripes = np.zeros((1, 900, 1200, 1), np.uint8)
    stripes[:, :, ::2] = 255

    image = pixels(montage(stripes, title="t"))

    row = image[image.shape[0] // 2 + 20, :, 0].astype(int)
    inside = row[40:-60]
    assert np.ptp(inside) < 60


def test_a_mistake_shows_answer_probability_and_truth(drawn: list[Figure]) -> None:
    images = np.zeros((3, 8, 6, 1), np.uint8)

    mistakes_picture(images, ["1", "2", "3"], ["7", "5", "8"], [0.99996, 0.953, 0.5], num_mistakes=12, num_images=3600)

    texts = words(drawn[-1])
    assert {"7  > 99.9 %\nis 1", "5  95.3 %\nis 2", "8  50.0 %\nis 3"} <= set(texts)
    assert any(text.startswith("Mistakes: 12 of 3,600 images (the 3 most confident)") for text in texts)


def test_no_mistakes_make_a_picture_too(drawn: list[Figure]) -> None:
    png = mistakes_picture(np.zeros((0, 8, 6, 1), np.uint8), [], [], [], num_mistakes=0, num_images=360)

    assert words(drawn[-1]) == ["No mistakes among 360 images"]
    assert pixels(png).min() < 100  # the words are inside the frame


def test_predictions_list_the_best_five(drawn: list[Figure]) -> None:
    answers = [[(f"c{k}", (10 - k) / 100) for k in range(8)], [("sure", 1.0)]]

    predictions_picture(np.zeros((2, 8, 6, 3), np.uint8), answers, ["a.png", "b.png"])

    texts = words(drawn[-1])
    assert "a.png\nc0  10.0 %\nc1  9.0 %\nc2  8.0 %\nc3  7.0 %\nc4  6.0 %" in texts
    assert "b.png\nsure  100.0 %" in texts


def test_a_wrong_image_is_red() -> None:
    images = np.zeros((2, 8, 6, 1), np.uint8)

    plain, flagged = (pixels(montage(images, ["a", "b"], title="t", wrong=wrong)) for wrong in ([], [False, True]))

    red = (flagged == (0xB3, 0x26, 0x1E)).all(-1)
    assert red.sum() > 100 and np.flatnonzero(red.any(0))[0] > 100  # only around the second
    assert not (plain == (0xB3, 0x26, 0x1E)).all(-1).any()


def test_a_montage_that_does_not_fit_is_refused() -> None:
    images = np.zeros((2, 8, 6, 1), np.uint8)
    with pytest.raises(ShapeError, match=r"images must be uint8 of shape \(n, H, W, C\), got float64 \(2, 8, 6\)"):
        montage(np.zeros((2, 8, 6)), title="t")
    with pytest.raises(UsageError, match="captions must have 2 entries, one per image, got 3"):
        montage(images, ["a", "b", "c"], title="t")
    with pytest.raises(UsageError, match="columns must be at least 1, got 0"):
        montage(images, title="t", columns=0)
    with pytest.raises(UsageError, match="predicted must have 2 entries, one per image, got 1"):
        mistakes_picture(images, ["a", "b"], ["a"], [0.5, 0.5], num_mistakes=2, num_images=9)
    with pytest.raises(UsageError, match="names must have 2 entries"):
        predictions_picture(images, [[("a", 1.0)]] * 2, ["x"])
    with pytest.raises(ShapeError, match=r"confusion must have shape \(2, 2\), a row and a column per class, got \(2, 3\)"):
        confusion_picture(np.zeros((2, 3), int), ("a", "b"))


def test_pictures_do_not_depend_on_the_users_settings_and_leave_them_alone() -> None:
    images = np.arange(2 * 8 * 6, dtype=np.uint8).reshape(2, 8, 6, 1)

    def draw() -> list[bytes]:
        return [confusion_picture([[3, 1], [0, 2]], "ab"), curves_picture(epochs(4)), montage(images, ["a", "b"], title="t")]

    first = draw()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 30, "text.color": "white"}):
        second = draw()
        assert matplotlib.rcParams["font.size"] == 30

    assert first == second
    assert all("Software" not in Image.open(io.BytesIO(png)).info for png in first)  # which would change with every release


def test_importing_the_pictures_loads_no_plotting_library_and_drawing_no_pyplot() -> None:
    code = (
        "import sys; from striate.drawing.curves import curves_picture; assert 'matplotlib' not in sys.modules;"
        "curves_picture([{'epoch': 1, 'train_loss': 1.0}]);"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
