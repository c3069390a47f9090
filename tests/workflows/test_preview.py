"""`striate train --preview`: the training pictures beside their augmented forms, and nothing else."""

import pytest

from striate.apps.cli import main
from striate.core.errors import UsageError
from striate.workflows.training import preview as previewing
from striate.workflows.training.preview import preview
from striate.workflows.training.request import TrainRequest


def test_a_preview_draws_what_the_first_epochs_show_and_trains_nothing(tmp_path, monkeypatch):
    drawn = {}

    def montage(images, captions, **others):
        drawn.update(images=images, captions=captions, **others)
        return real(images, captions, **others)

    real = previewing.montage
    monkeypatch.setattr(previewing, "montage", montage)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["train", "digits", "--model", "lenet5", "--preview", "seen.png", "--set", "augmentation.crop_padding=2"])

    assert not end.value.code
    assert [path.name for path in tmp_path.iterdir()] == ["seen.png"]
    assert drawn["captions"][:6] == ["as it is", *(f"epoch {epoch}" for epoch in range(1, 6))]
    rows = drawn["images"].reshape(6, 6, *drawn["images"].shape[1:])
    assert all(any((row[0] != other).any() for other in row[1:]) for row in rows)


def test_a_resumed_run_and_a_picture_of_another_kind_are_refused(tmp_path):
    with pytest.raises(UsageError, match="a run that is resumed shows what it has shown before"):
        preview(TrainRequest(resume=tmp_path), tmp_path / "a.png")
    with pytest.raises(UsageError, match="preview"):
        preview(TrainRequest(data="digits"), tmp_path / "a.gif")
