"""One thing to try: the first that the training does not do already."""

from __future__ import annotations

from collections.abc import Callable

from striate.insight.diagnose.setup import Setup

CLIP, INIT_HE, INIT_XAVIER = "`max_grad_norm=1`", "`set={'settings.init': 'he'}`", "`set={'settings.init': 'xavier'}`"
TRIVIAL, MIXUP = "`policy='trivial'`", "`mixup=0.4`"
BALANCED, ADAMW = "`set={'settings.class_weights': 'balanced'}`", "`optimizer='adamw'`"

DONE: dict[str, Callable[[Setup], bool]] = {  # whether a training has what a remedy asks for
    CLIP: lambda setup: setup.settings.max_grad_norm is not None and setup.settings.max_grad_norm <= 1,
    INIT_HE: lambda setup: setup.settings.init in ("he", "he_uniform"),
    INIT_XAVIER: lambda setup: setup.settings.init in ("xavier", "xavier_normal"),
    TRIVIAL: lambda setup: setup.augmentation.policy == "trivial",
    MIXUP: lambda setup: setup.is_mixed,
    BALANCED: lambda setup: setup.settings.class_weights is not None,
    ADAMW: lambda setup: setup.settings.optimizer == "adamw",
}


def first_new(setup: Setup | None, *flags: str) -> str:
    """The first of `flags` that is not what the training has already; the last where it has all."""
    return next((flag for flag in flags if setup is None or flag not in DONE or not DONE[flag](setup)), flags[-1])
