"""`striate profile`: the report of catalogue names, models and modules, and its words."""

import csv
import json

import pytest
from PIL import Image
from torch import nn

import striate
from striate.apps.cli import main
from striate.core.errors import UnknownNameError, UsageError
from striate.insight.profile.machine import Machine
from striate.workflows.profiling.profile import ProfileRequest, check_sizes, profile
from striate.workflows.profiling.words import facts, summary


def test_a_report_counts_and_measures(tmp_path):
    report = profile(ProfileRequest(network="lenet5", batch_size=3, batch_sizes=(1, 4), output=tmp_path, device="cpu"))

    net = striate.network("lenet5")
    assert (report.totals.params, report.totals.macs, report.totals.flops) == (net.params, net.macs, 2 * net.macs)
    assert [one.batch_size for one in report.measured.latencies] == [1, 4]
    assert all(0 < one.latency_ms_p50 <= one.latency_ms_p99 for one in report.measured.latencies)
    assert sum(layer["macs"] for layer in report.layers) == net.macs
    convolutions = [layer for layer in report.layers if layer["kind"] == "conv"]
    assert convolutions
    assert all(layer["forward_ms"] > 0 and layer["backward_ms"] > 0 and layer["share_of_peak"] > 0 for layer in convolutions)
    first = convolutions[0]  # 1 x 32 x 32 to 6 x 28 x 28 by 5 x 5: by hand
    assert first["bytes_moved"] == 4 * (3 * (32 * 32 + 6 * 28 * 28) + 156)
    assert first["intensity"] == pytest.approx(2 * 3 * 6 * 28 * 28 * 25 / first["bytes_moved"])
    with (tmp_path / "layers.csv").open() as lines:
        assert len(list(csv.reader(lines))) == 1 + len(net.rows)
    with Image.open(tmp_path / "roofline.png") as picture:
        assert picture.size[0] > 300


def test_the_papers_number_stands_beside_ours_only_for_the_papers_network():
    paper = profile(ProfileRequest(network="resnet50_paper", measure=False))
    other = profile(ProfileRequest(network="resnet50_paper", num_classes=10, measure=False))

    assert paper.paper.macs == 3.8e9
    assert paper.paper.macs_difference == pytest.approx(3_857_973_248 / 3.8e9 - 1)
    assert "3,800,000,000 multiply-adds (ours +1.5%)" in summary(paper)
    assert "FLOPs = 2 x MACs" in summary(paper)
    assert other.paper is None


def test_a_users_module_is_profiled_and_must_tell_its_size():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    report = profile(ProfileRequest(network=module, input_size=(9, 8), batch_size=2, batch_sizes=(1,), device="cpu"))

    assert report.totals.macs == 4 * 27 * 7 * 6 + 20
    assert [layer["forward_ms"] is not None for layer in report.layers] == [True] * 5
    with pytest.raises(UsageError, match="Sequential does not define the size of its input"):
        profile(ProfileRequest(network=module))


def test_wrong_requests_say_what_is_wrong():
    with pytest.raises(UnknownNameError, match="resnet20_cifar"):
        profile(ProfileRequest(network="resnet20cifar", measure=False))
    with pytest.raises(UsageError, match="`batch_sizes='1,x'`: must be whole numbers"):
        check_sizes("1,x")
    with pytest.raises(UsageError, match="lenet5: has its own classes and input"):
        profile(ProfileRequest(network=striate.network("lenet5"), num_classes=3))


def test_the_command_prints_a_table_or_json(capsys):
    with pytest.raises(SystemExit) as end:
        main(["profile", "cifar_notes", "--no-measure"])
    text = capsys.readouterr().out
    assert not end.value.code
    assert "24,522 parameters, 3,838,976 MACs = 7,677,952 FLOPs a picture" in text
    assert max(map(len, text.splitlines())) <= 100
    assert all(f"{column}:" in text for column in ("field", "FLOPs/B")) and "fwd" not in text

    with pytest.raises(SystemExit):
        main(["profile", "cifar_notes", "--batch-sizes", "2", "--batch-size", "2", "--device", "cpu", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["totals"]["macs"] == 3_838_976
    assert report["measured"]["latencies"][0]["batch_size"] == 2


def test_no_layer_exceeds_the_peak_without_a_word_on_why(monkeypatch):
    """The machine is told to reach next to nothing: what needs every multiply-add raises the peak, a 3 x 3 convolution exceeds it."""
    monkeypatch.setattr("striate.insight.profile.measured.measure_machine", lambda _device: Machine(1.0, 1e9))
    direct = profile(ProfileRequest(network="lenet5", batch_size=2, batch_sizes=(1,), seconds=0.02, device="cpu"))
    shares = [layer["share_of_peak"] for layer in direct.layers if layer["share_of_peak"]]
    assert len(shares) == 5 and max(*shares, direct.measured.share_of_peak) == 1 and "above 100 %" not in dict(facts(direct))

    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Flatten(), nn.Linear(64 * 14 * 14, 2))
    monkeypatch.setattr("striate.insight.profile.clock.time.perf_counter", iter(range(10**9)).__next__)  # each call takes a second
    saving = profile(ProfileRequest(network=module, input_size=16, batch_size=2, batch_sizes=(1,), seconds=0.02, device="cpu"))
    shares = {layer["path"]: layer["share_of_peak"] for layer in saving.layers if layer["share_of_peak"]}
    assert max(shares, key=shares.__getitem__).endswith("0") and sorted(shares.values())[-2] == 1 < max(shares.values())
    assert dict(facts(saving))["above 100 %"].endswith(
        "fewer multiplications than are counted (Winograd's method for convolutions of stride 1)"
    )
