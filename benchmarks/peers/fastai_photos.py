"""fastai's `fine_tune` of EfficientNet-Lite0 on photos, as its documentation has it: `fastai_photos PLAN`, for `few_photos`.

PLAN is a JSON file: `weights`, a safetensors file by timm's names; `side`, pixels; `epochs`; and `folds`, each with `train` and `valid`,
lists of [path, class]. Prints a line of JSON for each fold: the accuracy on `valid`, and the seconds of `fine_tune`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    L,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    default_split,
    set_seed,
    vision_learner,
)
from safetensors.torch import load_file

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3


def main() -> None:
    """Fine-tune for each fold."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    for number, fold in enumerate(plan["folds"]):
        set_seed(number)
        cut = len(fold["train"])
        block = DataBlock(
            blocks=(ImageBlock, CategoryBlock),
            get_items=lambda fold: fold["train"] + fold["valid"],
            get_x=lambda item: item[0],
            get_y=lambda item: item[1],
            splitter=lambda items, cut=cut: (L(range(cut)), L(range(cut, len(items)))),
            item_tfms=Resize(int(plan["side"] * 1.25)),
            batch_tfms=[*aug_transforms(size=plan["side"], min_scale=0.75), Normalize.from_stats(MEAN, STD)],
        )
        data = block.dataloaders(fold, bs=32, num_workers=0)
        learner = vision_learner(data, "tf_efficientnet_lite0", pretrained=False, splitter=default_split, metrics=accuracy)
        body = learner.model[0].model
        body.load_state_dict({name: value for name, value in load_file(plan["weights"]).items() if name in body.state_dict()})
        started = time.perf_counter()
        with learner.no_bar(), learner.no_logging():
            learner.fine_tune(plan["epochs"])
        seconds = time.perf_counter() - started
        with learner.no_bar():
            _, share = learner.validate()
        print(json.dumps({"accuracy": share, "seconds": seconds, "num_valid": len(fold["valid"])}), flush=True)


if __name__ == "__main__":
    main()
