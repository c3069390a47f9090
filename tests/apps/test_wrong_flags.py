"""Each flag with a wrong value, and flags that there are not: one sentence in our words, with the flag that is meant."""

import dataclasses
import typing

import pytest
from typer.main import get_command

from striate.apps.cli import app, main
from striate.apps.cli.flags import with_flags
from striate.core.errors import UsageError
from striate.core.text import Lines
from striate.workflows.ablation.ablate import AblateRequest
from striate.workflows.attack import AttackRequest
from striate.workflows.evaluation.calibrate import CalibrateRequest
from striate.workflows.evaluation.evaluate import EvaluateRequest
from striate.workflows.explanation.explain import ExplainRequest
from striate.workflows.recipes.checked import with_checked_fields
from striate.workflows.recipes.options import OPTIONS
from striate.workflows.reporting.report import ReportRequest
from striate.workflows.training.request import TrainRequest

FOREIGN = ("Input should", "input should", "unable to parse", "Value error", "type=", "https://errors", "Invalid value", "Traceback")
COMMAND = get_command(app)
REQUESTS = (TrainRequest, EvaluateRequest, AblateRequest, AttackRequest, CalibrateRequest, ExplainRequest, ReportRequest)


@pytest.fixture(autouse=True)
def built_once(monkeypatch):
    """The command line, which takes half a second to build."""
    monkeypatch.setattr("striate.apps.cli.app", COMMAND)


def said_of(capsys, *words):
    """The exit code and the lines of stderr."""
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return end.value.code, capsys.readouterr().err.splitlines()


def wrong_values():
    """(verb, flag, a value that it refuses), for every flag that takes one of some words or a number."""
    commands = COMMAND.commands
    for verb in app.registered_commands:
        flags = {each.name: each.opts[0] for each in commands[verb.name].params if each.opts[0].startswith("-")}
        for name, hint in typing.get_type_hints(verb.callback, include_extras=True).items():
            if name not in flags:
                continue
            kind, info = typing.get_args(hint)[:2] if typing.get_origin(hint) is typing.Annotated else (hint, None)
            kinds = [kind, *typing.get_args(kind), *(deep for each in typing.get_args(kind) for deep in typing.get_args(each))]
            if int in kinds or float in kinds:
                yield verb.name, flags[name], "x"
                if info.min is not None:
                    yield verb.name, flags[name], str(info.min - 1)
                if info.max is not None:
                    yield verb.name, flags[name], str(info.max + 1)
            elif any(typing.get_origin(each) is typing.Literal for each in kinds):
                yield verb.name, flags[name], "nothing_like_it"
    hints = typing.get_type_hints(TrainRequest, include_extras=True)
    for option in OPTIONS:
        for kind in typing.get_args(hints[option.field]):
            limits = [limit for info in getattr(kind, "__metadata__", ()) for limit in getattr(info, "metadata", ())]
            for limit in limits if option.kind in (int, float) else ():
                beyond = {"ge": -1, "gt": 0, "le": 1, "lt": 0}
                name = next((name for name in beyond if hasattr(limit, name)), None)
                if name is not None and abs(getattr(limit, name)) < 2**62:
                    yield "train", option.long, str(getattr(limit, name) + beyond[name])


def test_the_flags_that_can_be_wrong_are_found():
    found = list(wrong_values())

    assert ("train", "--monitor", "nothing_like_it") in found
    assert ("train", "--patience", "0") in found
    assert ("train", "--smoothing", "2") in found
    assert {verb for verb, _, _ in found} >= {"train", "evaluate", "predict", "ablate", "attack", "explain", "show", "report", "demo"}


@pytest.mark.parametrize(("verb", "flag", "value"), list(wrong_values()))
def test_a_wrong_value_is_told_in_one_sentence_with_its_flag(capsys, verb, flag, value):
    code, lines = said_of(capsys, verb, flag, value)

    assert code == 2
    assert lines[0].startswith(f"error: {flag}: must be ")
    assert lines[0].endswith((f", got '{value}'", f", got {value}", f", got {value}.0"))
    assert len(lines) <= 2
    assert not [words for words in FOREIGN if words in "\n".join(lines)]


@pytest.mark.parametrize("request_of", REQUESTS, ids=lambda each: each.__name__)
def test_a_wrong_value_in_python_is_told_in_one_sentence_with_its_field(request_of):
    fields = dataclasses.fields(request_of)
    needed = {each.name: "run" for each in fields if each.name == "run" and each.default is dataclasses.MISSING}
    words_alone = [
        each.name
        for each in fields
        if "Literal[" in str(each.type) or each.name in ("fit", "split", "layout", "score", "monitor", "loss", "optimizer", "schedule")
    ]
    for name in words_alone:
        with pytest.raises(UsageError, match=f"^`{name}`: must be .*, got '") as caught:
            with_checked_fields(request_of, **{**needed, name: "nothing_like_it"})
        assert not [words for words in FOREIGN if words in str(caught.value)]
    assert words_alone


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("train --bs 3", "Striate calls it --batch-size."),
        ("train --learning-rate 0.1", "Striate calls it --lr."),
        ("train --early-stopping 3", "Striate calls it --patience."),
        ("train --lr-scheduler cosine", "Striate calls it --sched."),
        ("train --wd 0.1", "Striate calls it --weight-decay."),
        ("train --arch vgg16", "Striate calls it --model."),
        ("train --image-size 32", "Striate calls it --img-size."),
        ("train --num-epochs 3", "Striate calls it --epochs."),
        ("train --gpu", "Striate calls it --device cuda."),
        ("attack run --epsilon 0.1", "Striate calls it --eps."),
        ("train --nesterov", "The momentum of --opt sgd is Nesterov's, unless you give --set settings.nesterov=false."),
        ("train --step-gamma 0.5", "Use --set settings.step_gamma=VALUE."),
        ("train --epoch 3", "Did you mean --epochs"),
        ("evaluate run --epochs 3", "It is a flag of `striate train`"),
        ("fit digits", "Did you mean train?"),
        ("trian digits", "Did you mean train?"),
    ],
)
def test_a_flag_that_has_another_name_here_is_told_with_it(capsys, words, meant):
    code, (first, second) = said_of(capsys, *words.split())

    assert code == 2
    assert first.startswith("error: unknown ")
    assert second.strip().startswith(meant)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "evaluate",
            ["error: RUN is missing", "  Usage: striate evaluate [OPTIONS] RUN [DATA]. `striate evaluate --help` lists the flags."],
        ),
        ("train digits --epochs", ["error: --epochs: needs a value"]),
        ("train digits --diagnose=3", ["error: --diagnose: does not take a value"]),
        (
            "train digits --monitor f1",
            ["error: --monitor: must be accuracy, loss, macro_f1 or balanced_accuracy, got 'f1'", "  Did you mean macro_f1?"],
        ),
    ],
)
def test_words_that_do_not_fit_are_told_plainly(capsys, words, said):
    code, lines = said_of(capsys, *words.split())

    assert code == 2
    assert lines[: len(said)] == said


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("Say `skip_unreadable=True`.", "Say --skip-unreadable."),
        ("Say `diagnose=False`.", "Say --no-diagnose."),
        ("a smaller `learning_rate`, or `batch_size=64`", "a smaller --lr, or --batch-size 64"),
        ("`optimizer='sgd', momentum=0.9`", "--opt sgd --momentum 0.9"),
        ("`epochs='+20'` or `epochs=N`", "--epochs +20 or --epochs N"),
        ("`set={'settings.betas': [0.9, 0.95]}`", "--set 'settings.betas=[0.9, 0.95]'"),
        ("`freeze=('stem', 'stage1')`", "--freeze stem --freeze stage1"),
        ("`betas`: must be a list", "betas: must be a list"),  # a setting without a flag of its own
        ("`striate info` lists them; `a=[` is no call", "`striate info` lists them; `a=[` is no call"),
    ],
)
def test_fields_between_backticks_become_flags(text, flags):
    assert with_flags(text) == flags
    assert isinstance(with_flags(Lines(text)), Lines)
