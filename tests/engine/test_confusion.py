"""The table of pixels that validation keeps, against loops over pixels."""

from __future__ import annotations

import pytest
import torch

from striate.engine.confusion import ConfusionTable
from striate.engine.epochs import EpochRow, score_of
from striate.engine.losses import hits_of_places


def test_mean_iu_over_several_batches_is_that_of_all_pixels() -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(5, 3, 4, 7), torch.randint(0, 3, (5, 4, 7))
    targets[torch.rand(5, 4, 7) < 0.2] = 255
    table = ConfusionTable(hits_of_places)

    hits = [table(outputs[part], targets[part]) for part in (slice(0, 2), slice(2, 5))]

    ious = []
    for k in range(3):
        both = either = 0
        for n in range(5):
            for row in range(4):
                for column in range(7):
                    true, given = int(targets[n, row, column]), int(outputs[n, :, row, column].argmax())
                    if true != 255:
                        both += true == k and given == k
                        either += k in (true, given)
        ious.append(both / either)
    assert table.mean_iu == pytest.approx(sum(ious) / 3)
    torch.testing.assert_close(sum(hits), hits_of_places(outputs, targets))


def test_a_class_that_is_nowhere_is_left_out() -> None:
    table = ConfusionTable(hits_of_places)
    outputs = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 2, 3)

    table(outputs, torch.tensor([[[0, 0, 0], [0, 0, 1]]]))

    assert table.mean_iu == pytest.approx((5 / 6 + 0) / 2)


def test_there_is_no_mean_iu_without_pixels() -> None:
    table = ConfusionTable(hits_of_places)
    assert table.mean_iu is None
    table(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))
    assert table.mean_iu is None
    table(torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), 255))
    assert table.mean_iu is None


def test_of_masks_the_best_epoch_has_the_best_mean_iu() -> None:
    """More right pixels and a smaller loss do not outweigh it; between equals the loss decides; without masks, accuracy comes first."""

    def row(accuracy: float, loss: float, mean_iu: float | None) -> EpochRow:
        return EpochRow(1, 1, 0.0, 0.0, loss, accuracy, 0.1, 1.0, 1.0, mean_iu)

    assert score_of(row(0.8, 0.9, 0.6)) > score_of(row(0.9, 0.1, 0.5))
    assert score_of(row(0.8, 0.1, 0.6)) > score_of(row(0.9, 0.2, 0.6))
    assert score_of(row(0.9, 0.9, None)) > score_of(row(0.8, 0.1, None))
