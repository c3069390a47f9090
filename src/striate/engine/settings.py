"""The settings of a training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
PartialShare = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(coerce_numbers_to_str=True)]
Groups = dict[Name, Name]  # a class -> its coarser class
ROTATION = "rotation"  # as a second task
Count = Annotated[int, Field(ge=1, le=10**9)]
CountOrNone = Annotated[int, Field(ge=0, le=10**9)]

OptimizerName = Literal["gd", "sgd", "adagrad", "rmsprop", "adam", "nadam", "adamw", "radam", "lion", "muon", "lbfgs"]
LossName = Literal["cross_entropy", "nll", "focal", "hinge", "squared_hinge", "map", "binary_cross_entropy", "mse", "l1", "huber"]
MonitorName = Literal["accuracy", "loss", "macro_f1", "balanced_accuracy"]
OF_CLASSES = ("macro_f1", "balanced_accuracy")  # monitored measures that need to know which class was given to which
ScheduleName = Literal[
    "constant",
    "step",
    "multi_step",
    "exponential",
    "cosine",
    "cosine_restarts",
    "one_cycle",
    "polynomial",
    "linear",
    "triangular",
    "plateau",
]
InitName = Literal[
    "default",
    "zero",
    "constant",
    "normal",
    "uniform",
    "xavier",
    "xavier_normal",
    "he",
    "he_uniform",
    "orthogonal",
    "dirac",
    "lsuv",
    "whitened",
]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TrainSettings:
    """The training settings: everything that decides the result, in one record."""

    epochs: CountOrNone = 10  # 0: nothing is trained, and the weights that it begins with are measured and kept
    steps: Count | None = None  # exactly this many updates, instead of `epochs`
    batch_size: Count = 128
    accumulate: Count = 1  # parts that a batch is computed in, one after the other; the update is that of the whole batch

    loss: LossName = "cross_entropy"
    smoothing: Share = 0.0
    class_weights: tuple[NotNegative, ...] | Literal["balanced"] | None = None  # of cross-entropy and focal; balanced: n / (K n_k)
    focal_gamma: NotNegative = 2.0
    huber_delta: Positive = 1.0

    optimizer: OptimizerName = "sgd"
    learning_rate: Positive = 0.1  # the peak of the schedule
    momentum: PartialShare = 0.9  # of sgd, muon and rmsprop
    nesterov: bool = True
    betas: tuple[PartialShare, PartialShare] | None = None  # of the Adam family and lion; None: the source's
    eps: Positive | None = None  # None: torch's
    lookahead: Count | None = None  # steps of the fast weights between two of the slow ones
    lookahead_share: Share = 0.5
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # factor of the rate from each layer to the one before it
    layer_rates: dict[str, NotNegative] = Field(default_factory=dict)  # a part's path -> factor of its learning rate

    weight_decay: NotNegative = 5e-4
    decay_all: bool = False  # decay biases and norms too
    l1: NotNegative = 0.0  # adds l1 * sum |w| to the loss; weights become exactly 0
    l2: NotNegative = 0.0  # adds l2 * sum w^2 to the loss
    l2_half: NotNegative = 0.0  # adds l2_half / 2 * sum w^2 to the loss
    max_norm: Positive | None = None  # of the incoming weights of each unit, after each update
    max_grad_norm: Positive | None = None
    max_grad_value: Positive | None = None
    ema: PartialShare | None = None  # decay a step of an exponential mean of the weights, which is what is validated and kept
    swa_start: Share | None = None  # share of the training after which the weights at the end of each epoch are averaged

    schedule: ScheduleName = "cosine"
    warmup_epochs: NotNegative = 1.0
    step_at: tuple[Share, ...] = (0.5, 0.75)  # of the updates after the warm-up: where multi_step multiplies by `step_gamma`
    step_gamma: Positive = 0.1
    step_every: Positive = 30.0  # epochs: of step and exponential
    cycle_epochs: Positive | None = None  # of cosine_restarts and triangular; None: a quarter of the training
    cycle_factor: Annotated[float, Field(ge=1)] = 1.0  # by which each restart's cycle is longer than the last
    power: Positive = 1.0  # of polynomial
    min_factor: Share = 0.0  # of the peak rate, below which no schedule goes
    plateau_epochs: Count = 5  # without a better validation loss before plateau multiplies by `step_gamma`
    monitor: MonitorName = "accuracy"  # of validation: chooses the kept epoch, the loss between equals; accuracy: see `score_of`
    patience: Count | None = None  # epochs in a row without a better `monitor` before stopping

    adversarial: Literal["fgsm", "pgd"] | None = None  # train on pictures that this attack on the network, as it is then, has changed
    adversarial_eps: Annotated[float, Field(gt=0, le=1)] = 8 / 255  # the largest change, as a share of a pixel's range
    adversarial_steps: Count = 7  # of pgd, under which is validated also where fgsm trains
    adversarial_norm: Literal["linf", "l2"] = "linf"

    auxiliary: Name | Groups | None = None  # a second task: rotation (how a picture is turned), a column, or a coarser class of each class
    auxiliary_weight: Positive = 0.5  # of its loss

    init: InitName = "default"
    init_scale: Positive | None = None  # the constant, the deviation of normal, the half-width of uniform
    freeze: tuple[str, ...] = ()  # paths of parts that are not trained
    unfreeze_every: Count | None = None  # epochs after which the last frozen part is trained too

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    deterministic: bool = False
    sync_norm: bool = False  # of several processes: batch norms take their statistics over the whole batch, not over each one's part
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = "auto"
