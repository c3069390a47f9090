"""The page that sums up a run: what it holds for each kind of run, and how it looks in a real browser."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import DataError, RefusedFileError, UsageError
from striate.core.text import counted
from striate.insight.calibrate.abstain import coverage_curve
from striate.networks.families.parts import conv_norm
from striate.networks.layers import Chain, Conv
from striate.workflows.evaluation.reliability import worth
from striate.workflows.reporting.report import ReportRequest, RunReport, report
from striate.workflows.reporting.sections import calibration

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
NAMES = ("<img src=x>", "a&b" + "long" * 20, "plain")
FORMS = {  # width, media, colours
    "wide": (1280, "screen", "light"),
    "wide_dark": (1280, "screen", "dark"),
    "narrow": (400, "screen", "light"),
    "narrow_dark": (400, "screen", "dark"),
    "printed": (720, "print", "dark"),
}
LOOK = """(async () => {
  const images = [...document.images];
  await Promise.all(images.map(image => image.decode().catch(() => 0)));
  const lines = cell => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return new Set([...range.getClientRects()].map(box => box.top)).size;
  };
  const ground = getComputedStyle(document.body).backgroundColor, ink = getComputedStyle(document.body).color;
  return {wide: document.documentElement.scrollWidth, images: images.length, broken: images.filter(image => !image.naturalWidth).length,
          cut: [...document.querySelectorAll("td.n")].filter(cell => lines(cell) > 1).length,
          ground, ink, nav: getComputedStyle(document.querySelector("nav")).display, text: document.body.innerText};
})()"""


class Browser:
    """A headless Chromium, spoken to over pipes in its DevTools protocol."""

    def __init__(self, folder: Path) -> None:
        theirs_in, self.out = os.pipe()
        self.into, theirs_out = os.pipe()
        flags = "--headless --hide-scrollbars --no-sandbox --disable-gpu --disable-background-networking --remote-debugging-pipe"
        line = f"exec '{CHROMIUM}' {flags} '--user-data-dir={folder}' about:blank 3<&{theirs_in} 4>&{theirs_out} 2>/dev/null"
        self.process = subprocess.Popen(["bash", "-c", line], pass_fds=(theirs_in, theirs_out))
        os.close(theirs_in)
        os.close(theirs_out)
        self.events: list[dict[str, Any]] = []
        self.rest, self.number, self.session = b"", 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command; events that come before it are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def read(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            came = os.read(self.into, 2**20)
            assert came, "the browser is gone"
            self.rest += came
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def show(self, page: Path, form: str) -> dict[str, Any]:
        """What the page is like in one of the forms."""
        width, media, colours = FORMS[form]
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": colours}])
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.read())
        return self.ask("Runtime.evaluate", expression=LOOK, awaitPromise=True, returnByValue=True)["result"]["value"]

    def picture(self, path: Path) -> None:
        """The whole page as it is shown now."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=200)
        os.close(self.out)
        os.close(self.into)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On pictures of a band at one of three heights; the classes have names that are markup. They lie beside it in bands/."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 9)):
        for number in range(count):
            place = folder / "bands" / split / NAMES[number % 3]
            place.mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 60, (16, 12, 3), dtype=np.uint8)
            image[4 * (number % 3) : 4 * (number % 3) + 4, 3:9] = 220
            Image.fromarray(image).save(place / f"<b>{number}.png")
    striate.train(folder / "bands", network=tiny(3), epochs=2, batch_size=16, output=folder / "run")
    return folder / "run"


def tiny(num_outputs: int) -> striate.Network:
    return striate.network("cifar_notes", num_classes=num_outputs, input_size=(16, 12))


@pytest.fixture(scope="module")
def found(run: Path) -> RunReport:
    """Its report, which has changed nothing else."""
    before = files_of(run)
    found = report(ReportRequest(run=run, measure=False, output=run.parent / "deep" / "page.html"))
    assert files_of(run) == before
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("form", FORMS)
def test_the_page_is_whole_in_every_form_and_asks_nobody_for_anything(browser: Browser, found: RunReport, form: str):
    page = Path(found.output)
    seen = browser.show(page, form)

    asked = [event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    complaints = [
        event for event in browser.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    ]
    assert complaints == []
    width, media, colours = FORMS[form]
    assert seen["wide"] <= width and seen["broken"] == 0 and seen["images"] >= 6 and seen["cut"] == 0  # no number in two lines
    dark = colours == "dark" and media == "screen"
    assert (seen["ground"], seen["ink"]) == (("rgb(22, 24, 27)", "rgb(230, 230, 230)") if dark else ("rgb(255, 255, 255)", seen["ink"]))
    assert (seen["nav"] == "none") == (media == "print")
    assert "<img src=x>" in seen["text"]  # as text


# ---- what it holds


def test_a_run_of_classes_has_every_section(run: Path, found: RunReport, tmp_path: Path):
    assert found.sections == (
        *("Summary", "Training", "Results on val", "What it looks at", "Calibration"),
        *("Network", "Cost", "Diagnosis", "Environment", "Repeat it"),
    )
    assert found.left_out == {}
    page = Path(found.output).read_text(encoding="utf-8")
    assert found.num_bytes == len(page.encode())
    measured = striate.evaluate(run, split="val", output=tmp_path)
    assert f">{100 * measured.accuracy:.2f} %<" in page and f">{measured.log_loss:.4f}<" in page
    assert f">{striate.load(run).network.params:,}<" in page
    assert "&lt;img src=x&gt;" in page and "<img src=x>" not in page
    assert "It is finished: 2 of 2 epochs" in page
    assert f"striate repro {run}" in page
    assert ">expected calibration error<" in page and "of scores" not in page  # a flag is no measure


def test_nouns_go_with_their_numbers_and_a_temperature_at_its_limit_is_explained():
    assert [counted(number, "batch", "batches") for number in (1, 2)] == ["1 batch", "2 batches"]
    assert counted(1234, "layer") == "1,234 layers"
    logits, labels = np.tile([0.1, 0.0], (4, 1)), np.array([0, 1, 0, 1])  # no better than chance
    warm = [worth(logits, labels, ("a", "b"), temperature) for temperature in (1.0, 2.0, 100.0)]
    curve = coverage_curve(logits.max(1), labels == 0)
    assert "at the end of the search range" in calibration(warm[0], warm[2], curve)
    assert "at the end of the search range" not in calibration(warm[0], warm[1], curve)


def test_test_is_opened_only_when_it_is_asked_for_and_counted(run: Path, tmp_path: Path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))  # which no report has opened test of

    first = report(ReportRequest(run=copy, split="test", measure=False))
    words = Path(first.output).read_text(encoding="utf-8")
    striate.evaluate(copy, split="test")
    (copy / "report" / "attack").mkdir()
    shutil.copy(run / "report" / "curves.png", copy / "report" / "attack" / "accuracy.png")
    second = report(ReportRequest(run=copy, measure=False))  # shows what other verbs found, and opens nothing

    assert first.sections[2:4] == ("Results on test", "Results on val")
    assert "The test split was opened 1 time for this run" in words
    assert "Results on test" in second.sections and "What it withstands" in second.sections
    assert "The test split was opened 2 times for this run" in Path(second.output).read_text(encoding="utf-8")
    assert len((copy / "test-openings.jsonl").read_text().splitlines()) == 2


def test_without_its_data_the_page_shows_the_rest_and_says_why(run: Path, tmp_path: Path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    text = (copy / "config.yaml").read_text().replace("/bands", "/gone")
    (copy / "config.yaml").write_text(text)
    (copy / "report" / "attack").mkdir()
    shutil.copy(run / "report" / "curves.png", copy / "report" / "attack" / "accuracy.png")
    os.utime(copy / "report" / "attack" / "accuracy.png", (0, 0))  # of an earlier model: not shown

    found = report(ReportRequest(run=copy, measure=False))

    assert found.sections == ("Summary", "Training", "Network", "Cost", "Diagnosis", "Environment", "Repeat it", "Left out")
    assert list(found.left_out) == ["Results on val"] and "/gone" in found.left_out["Results on val"]
    assert "/gone" in Path(found.output).read_text(encoding="utf-8")
    assert "Results on val" in report(ReportRequest(run=copy, data=run.parent / "bands", measure=False)).sections


@pytest.mark.parametrize("what", ["pipe", "device", "broken link", "70 GB", "text"])
def test_a_picture_of_another_verb_that_is_none_is_refused(run: Path, tmp_path: Path, what: str):
    picture = Path(shutil.copytree(run, tmp_path / "run")) / "report" / "attack" / "fgsm.png"
    picture.parent.mkdir()
    if what == "pipe":
        os.mkfifo(picture)
    elif what in ("device", "broken link"):
        picture.symlink_to("/dev/zero" if what == "device" else tmp_path / "nowhere")
    else:
        picture.write_text("no picture")
        os.truncate(picture, 10 if what == "text" else 70 * 10**9)
    if what == "device":
        os.utime(tmp_path / "run" / "best.safetensors", (0, 0))  # it is older than the device

    with pytest.raises(RefusedFileError, match=r"fgsm\.png: .*\nRemove the file to continue without it"):
        report(ReportRequest(run=tmp_path / "run", measure=False))


def test_a_run_that_ended_before_its_first_epoch_is_shown_without_a_model(run: Path, tmp_path: Path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    for name in ("best.safetensors", "metrics.csv", "report/curves.png"):
        (copy / name).unlink()
    with (copy / "events.jsonl").open("a") as events:
        events.write('{"step": 1, "event": "interrupted"}\n{"step": 2, "ev')  # a line cut off

    found = report(ReportRequest(run=copy, measure=False))

    assert found.sections == ("Summary", "Training", "Network", "Cost", "Diagnosis", "Environment", "Repeat it", "Left out")
    assert "ended before its first epoch" in found.left_out["Model"]
    page = Path(found.output).read_text(encoding="utf-8")
    assert f"It is not finished: 0 of 2 epochs. <code>striate train --resume {copy}</code> continues it." in page


@pytest.mark.parametrize("task", ["regression", "multilabel", "segment"])
def test_other_tasks_have_their_own_measures_and_leave_out_what_is_for_classes(task: str, tmp_path: Path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 16, 12, 3), dtype=np.uint8)
    network, data = tiny(2), tmp_path / "data.npz"
    if task == "segment":
        data = tmp_path / "data"
        network = striate.Network("pixels", (3, 16, 12), Chain(conv_norm(6, 3), conv=Conv(2, 1)))
        for kind in ("images", "masks"):
            (data / kind).mkdir(parents=True)
        for number, image in enumerate(images[:12]):
            Image.fromarray(image).save(data / "images" / f"{number}.png")
            Image.fromarray((image[..., 0] > 128).astype(np.uint8)).save(data / "masks" / f"{number}.png")
    else:
        targets = images.mean((1, 2))[:, :2] if task == "regression" else (images.mean((1, 2))[:, :2] > 127).astype(np.int64)
        np.savez(data, x_train=images, y_train=targets)
    striate.train(data, network=network, task=task, epochs=1, batch_size=8, output=tmp_path / "run")

    found = report(ReportRequest(run=tmp_path / "run", measure=False))

    assert found.sections == (
        *("Summary", "Training", "Results on val", "Network", "Cost", "Diagnosis", "Environment", "Repeat it", "Left out"),
    )
    assert set(found.left_out) == {"What it looks at", "Calibration"}
    page = Path(found.output).read_text(encoding="utf-8")
    words = {"regression": ("rmse", "By number"), "multilabel": ("subset accuracy", "By label"), "segment": ("mean iu", "By class")}[task]
    assert all(word in page for word in words)


def test_errors_name_the_folder(run: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"nothing-here: no such run folder\nGive the folder of a training run"):
        striate.report(tmp_path / "nothing-here")
    with pytest.raises(DataError, match=r"config.yaml: cannot read the run's configuration"):
        striate.report(tmp_path)
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "best.safetensors").write_bytes(b"no model")
    with pytest.raises(RefusedFileError):
        striate.report(copy)


def test_the_command_writes_the_page_and_prints_its_report(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["report", str(run), "--no-measure", "--out", str(tmp_path / "a b.html"), "--json"])
    assert stop.value.code in (0, None)
    printed = json.loads(capsys.readouterr().out)
    assert printed["output"] == str(tmp_path / "a b.html") and printed["left_out"] == {}
    assert printed["num_bytes"] == (tmp_path / "a b.html").stat().st_size
