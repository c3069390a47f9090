"""Reports and networks at a prompt are short; the line that a training ends with tells the measure that chose the epoch."""

import sys

import pytest

import striate
import striate.demos.train
import striate.workflows.ablation.lesion
import striate.workflows.face
import striate.workflows.show
from striate.core.errors import ShapeError
from striate.networks.layers import Chain, Conv
from striate.workflows.training.request import TargetScore, TrainReport, summary

ROOMS = [module for name, module in sys.modules.items() if name.startswith(("striate.workflows", "striate.demos"))]
SHOWN = {each for module in ROOMS for name, each in vars(module).items() if name.endswith("Report") and isinstance(each, type)}
SCORE = TargetScore(accuracy=0.5, loss=1.25, measures={"macro_f1": 0.375})
REPORT = TrainReport(
    run="runs/a", network="lenet5", data="digits", splits=("train", "test"), params=61_706, num_train=90, num_val=10, epochs=2, steps=4,
    seconds=1.5, images_per_second=797.7, best_epoch=1, val=SCORE, interrupted=False,
)  # fmt: skip


@pytest.mark.parametrize("report", sorted(SHOWN, key=lambda each: each.__name__), ids=lambda each: each.__name__)
def test_each_report_has_a_short_form_for_prompts_and_notebooks(report):
    assert report.__repr__.__module__ == "striate.core.reports"
    assert hasattr(report, "_repr_html_")


def test_the_reports_are_found():
    assert {"TrainReport", "EvaluateReport", "LesionReport", "ShowReport", "SegmentReport", "RegressionReport", "RunReport"} <= {
        each.__name__ for each in SHOWN
    }


def test_a_training_s_report_is_a_table_with_its_figures_and_its_folder():
    lines = repr(REPORT).splitlines()

    assert lines[0] == "TrainReport"
    assert [line.split() for line in lines[1:3]] == [["run", "runs/a"], ["network", "lenet5"]]
    assert "val                accuracy 0.5000, loss 1.2500" in lines
    assert all(len(line) < 80 for line in lines)


def test_the_last_line_tells_the_monitored_measure():
    assert "val accuracy 0.5000, macro F1 0.3750, loss 1.2500 (epoch 1 of 2)" in summary(REPORT)


def test_a_network_at_a_prompt_is_one_line_with_its_sizes():
    net = striate.network("lenet5")

    assert repr(net) == "Network('lenet5': input 1 x 32 x 32, 10 outputs, 61,706 parameters; print it for its layers)"
    assert len(str(net).splitlines()) > 5


def test_a_network_that_does_not_fit_together_says_where_at_a_prompt():
    net = striate.Network("torn", (3, 4, 4), Chain(stem=Conv(8, 5)))

    with pytest.raises(ShapeError) as caught:
        net.params  # noqa: B018
    assert caught.value.message in repr(net)
