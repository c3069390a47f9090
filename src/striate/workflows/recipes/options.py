"""The options of a training, once: what each does, where its value belongs, and how it is typed at a terminal.

`TrainRequest` has a field of each name. The command line makes the flags of `train`, `repeat` and `ablate` from this table, the Python
functions their documentation, and a request is divided by it into the groups of a run's `config.yaml`. It needs no other package, so
that `striate --help` does not wait for one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

SettingsGroup = Literal["", "settings", "augmentation", "images"]


class Option(NamedTuple):
    """One of them.

    Attributes:
        field: Of `TrainRequest`.
        kind: The type of its value: str, int, float, bool, Path or some words; `list[str]` for one that may be repeated.
        help: Its description.
        group: Of `config.yaml`, that holds its value by this name; "": none does, or the configuration itself.
        decides: True if the result depends on it; a continued run may have other values of the others.
        flag: Its name at a terminal, where that is not the field's.
        short: A letter for that.
        metavar: The placeholder of the value in the help.
    """

    field: str
    kind: Any
    help: str
    group: SettingsGroup = ""
    decides: bool = True
    flag: str = ""
    short: str = ""
    metavar: str | None = None

    @property
    def long(self) -> str:
        """The whole flag: --batch-size."""
        return f"--{(self.flag or self.field).replace('_', '-')}"


def _setting(field: str, kind: Any, text: str, **more: Any) -> Option:
    return Option(field, kind, text, "settings", **more)


def _augmentation(field: str, kind: Any, text: str, **more: Any) -> Option:
    return Option(field, kind, text, "augmentation", **more)


def _images(field: str, kind: Any, text: str, **more: Any) -> Option:
    return Option(field, kind, text, "images", **more)


def _how(field: str, kind: Any, text: str, **more: Any) -> Option:
    return Option(field, kind, text, decides=False, **more)


# fmt: off
OPTIONS = (
    Option("network", str, "A name from `striate networks`, timm:NAME, torchvision:NAME, or a .json file that Network.to_json wrote "
           "[default: depends on the picture size].", flag="model", metavar="NETWORK"),
    Option("pretrained", str, "Start from trained weights: builtin, those of EfficientNet-Lite0 that are installed (builtin:NAME: "
           "of another network); timm's or torchvision's for the network, from their cache or with --download; those of a run, or of a "
           ".safetensors or .pth file; none; auto: builtin for few photos [default: auto].",
           metavar="auto|none|builtin|timm|torchvision|RUN|FILE"),
    Option("extend", Path, "Take this run to more classes: DATA holds the new ones; the run's pictures are replayed beside them, its "
           "classes keep their order, and what it forgets is measured.", metavar="RUN"),
    Option("pretrain", Literal["autoencoder", "rbm"], "Pretrain the first two layers without labels, each as an autoencoder or as a "
           "restricted Boltzmann machine.", metavar="autoencoder|rbm"),
    Option("unlabelled", str, "More pictures for --pretrain: a folder or a named set.", metavar="DATA"),
    Option("task", Literal["classify", "regression", "multilabel", "segment", "restore"], "Kind of targets in an .npz file [default: from "
           "their dtype and shape]; segment: a class per pixel; DATA holds images/ and masks/, PNG files of class indices; restore: a "
           "picture from a picture; DATA holds input/ and target/."),
    Option("input_effect", str, "Make the inputs of --task restore from the pictures of DATA, which are the targets: noise:SIGMA, "
           "downscale:FACTOR or grey.", metavar="EFFECT"),
    _setting("epochs", str, "Passes over the training split; +N extends a run [default: depends on the data].", metavar="N"),
    _setting("steps", int, "Number of updates to train, instead of epochs."),
    _setting("batch_size", str, "Images per update; auto: as memory allows [default: depends on the data].", short="b", metavar="N|auto"),
    Option("recipe", str, "Training recipe: notes, alexnet_2012, resnet_2015, densenet_2017, keras_resnet, modern, fast, default_dnn, or a "
           "YAML file, such as the config.yaml of a run. Flags override it.", metavar="NAME|FILE"),
    _setting("loss", str, "cross_entropy, focal, hinge, squared_hinge, map, nll, binary_cross_entropy, mse, l1, huber [default: by task]."),
    _setting("learning_rate", str, "Peak learning rate; find: by a range test [default: depends on the network].",
             flag="lr", metavar="RATE|find"),
    _setting("optimizer", str, "gd, sgd, adam, adamw, lion, muon, ... [default: depends on the network].", flag="opt", metavar="NAME"),
    _setting("momentum", float, "Nesterov momentum of SGD [default: 0.9]."),
    _setting("weight_decay", float, "Weight decay, not applied to biases and norms."),
    _setting("l1", float, "L1 penalty; weights become exactly 0."),
    _setting("schedule", str, "Schedule: constant, step, cosine, one_cycle, plateau, ... [default: cosine].", flag="sched", metavar="NAME"),
    _setting("warmup_epochs", float, "Epochs of linear warm-up."),
    _setting("smoothing", float, "Label smoothing."),
    _setting("max_grad_norm", float, "Scale gradients down to this norm where they are larger.", flag="clip-grad"),
    _setting("monitor", Literal["accuracy", "loss", "macro_f1", "balanced_accuracy"], "Val measure that selects the best epoch; the loss "
             "breaks ties [default: accuracy; for regression, loss]."),
    _setting("patience", int, "Stop early after this many epochs in a row without a better --monitor."),
    _images("target", str, "Column of a table to learn: classes or numbers [default: the last; of pictures: label].", metavar="COLUMN"),
    _images("image_size", int, "Input size of the network in pixels [default: depends on data and network].", flag="img-size"),
    _images("fit", Literal["crop", "pad", "stretch", "cut"], "How pictures of another shape are fitted."),
    _augmentation("crop_padding", int, "Random shift in pixels (pad and crop) [default: depends on the data]."),
    _augmentation("flip", bool, "Random horizontal flip [default: depends on the data]."),
    _augmentation("mixup", float, "Mix each picture and its label with another's; weights from Beta(ALPHA, ALPHA).", metavar="ALPHA"),
    _augmentation("cutmix", float, "Paste a rectangle of another picture; its area from Beta(ALPHA, ALPHA).", metavar="ALPHA"),
    _augmentation("policy", str, "trivial: one of 14 transforms of random strength for each picture.", flag="aa", metavar="POLICY"),
    _augmentation("erasing", float, "Probability that a rectangle of a picture is erased.", flag="reprob"),
    _images("normalization", str, "dataset: by the training set's mean and standard deviation; imagenet, half (-1 to 1) or unit (0 to 1): "
            "by those, which pretrained weights may need; per_image: by the picture's own; min_max [default: dataset].", metavar="NAME"),
    _how("workers", int, "Threads that prepare batches during training.", short="j"),
    Option("val_fraction", float, "Share of train held out if the data has no val split [default: 0.1]."),
    Option("train_images", int, "Number of training pictures to use, the same share of each class."),
    _setting("accumulate", int, "Compute each batch in this many parts, to save memory."),
    _setting("ema", float, "Keep an exponential moving average of the weights with this decay.", flag="model-ema"),
    _setting("adversarial", Literal["fgsm", "pgd"], "Adversarial training: train on pictures that this attack has changed."),
    _setting("adversarial_eps", str, "Largest change of a pixel, as a share of its range, such as 0.1 [default: 8/255].", metavar="EPS"),
    _setting("adversarial_steps", int, "Steps of pgd, which is also applied in validation [default: 7]."),
    _setting("auxiliary", str, "Second task to train on: rotation (by how many quarters a picture is turned), a column of the table with "
             "labels of its own, or a coarser class of each class, as '{cat: animal, dog: animal, car: vehicle}'.", metavar="TASK"),
    _setting("auxiliary_weight", float, "Weight of its loss [default: 0.5]."),
    _setting("freeze", list[str], "Part to freeze, such as stem; repeatable.", metavar="PART"),
    _setting("precision", Literal["auto", "float32", "bfloat16"], "auto uses bfloat16 where it is fast [default: auto]."),
    _setting("compile", bool, "Compile the network with torch.compile."),
    _setting("seed", int, "Seed of weights, order, augmentation, dropout and split [default: 0]."),
    _setting("device", str, "auto, cpu, cuda, cuda:1 or mps [default: auto].", decides=False),
    _setting("deterministic", bool, "Refuse nondeterministic operations."),
    _how("resume", Path, "Continue this run from its last checkpoint.", metavar="RUN"),
    _how("checkpoint_every", int, "Updates between checkpoints [default: as often as costs under 1 % of the time]."),
    _how("diagnose", bool, "Report problems while training."),
    _how("learning_curve", bool, "Also measure the accuracy from 1/8, 1/4 and 1/2 of the pictures, and what twice as many would bring; of "
         "a head on installed weights."),
    _how("log", list[str], "tensorboard: event files in the run; mlflow: a run on MLFLOW_TRACKING_URI; repeatable.", metavar="NAME"),
    _how("output", Path, "The run folder [default: runs/train/NAME-NNN]."),
    _how("name", str, "Name of the run [default: DATA-MODEL]."),
    Option("skip_unreadable", bool, "Skip unreadable pictures instead of stopping."),
    Option("layout", Literal["auto", "classes", "splits"], "How to read the folders of DATA if their names are ambiguous: one per class, "
           "or train/, val/, test/."),
    Option("drop", Path, "Leave out the pictures of this list, which `striate check --fix-list` wrote.", metavar="FILE"),
    Option("class_from", str, "Which part of a picture's path is its class: top, the outermost folder; parent, the folder that holds it; "
           "or the first group of a pattern, as in 'regex:^(cat|dog)' [default: top].", metavar="top|parent|regex:PATTERN"),
    Option("columns", list[str], "Columns of a table of pictures, by what they hold: path, label, split, group, weight "
           "[default: columns called so].", metavar="path=NAME,label=NAME,..."),
    Option("group", str, "Column of a table of pictures, or for a folder parent, top or regex:PATTERN: pictures of one group (a person, a "
           "scene, a day) stay in one split or fold.", metavar="COLUMN|RULE"),
    Option("separator", str, "Text between the labels of a picture that has several [default: ; | or ,].", metavar="TEXT"),
    _how("root", Path, "Folder that the paths of a table of pictures start from [default: that of the table]."),
    Option("set", list[str], "Any other setting: settings.NAME (settings.step_gamma=0.5), augmentation.NAME (augmentation.hue=0.1), or "
           "images.NAME for mean, std, fit and normalization (images.mean=[0.5]).", metavar="NAME=VALUE"),
    _how("data_dir", Path, "Folder of the named data sets [default: $STRIATE_DATA or ~/.cache/striate/data]."),
    _how("download", bool, "Download a named data set, or the weights of --pretrained, from its publisher if it is missing."),
)
# fmt: on


def given(request: Any, group: SettingsGroup) -> dict[str, Any]:
    """The values of a request for a group of the configuration, by the group's names; without `set`."""
    values = ((option.field, getattr(request, option.field)) for option in OPTIONS if option.group == group)
    return {field: value for field, value in values if value is not None}
