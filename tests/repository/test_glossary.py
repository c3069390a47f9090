"""Every word that heads a column or names a measure stands in docs/glossary.md."""

import dataclasses
import re
from pathlib import Path
from typing import get_args

import striate
from striate.core.calibration import Score
from striate.insight.diagnose import KINDS
from striate.insight.explain import METHODS
from striate.insight.measure.classes import Measures
from striate.workflows.ablation.report import SHORT_HEADING
from striate.workflows.evaluation.compare import CompareRequest, compare
from striate.workflows.evaluation.comparison import table as compared
from striate.workflows.explanation.views import VIEWS
from striate.workflows.explanation.words import TRUST
from striate.workflows.profiling.profile import ProfileRequest, profile
from striate.workflows.profiling.words import table as profiled

ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in (Path(__file__).parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and "---" not in line
][1:]
TERMS = {row[0] for row in ROWS}
NAMES = {"top5 accuracy": "top-5", "ece": "expected calibration error"}  # of fields, in words
NOT_MEASURES = {"num images", "classes", "confusion matrix"}


def test_each_term_has_a_meaning_a_place_and_a_unit():
    assert all(len(row) == 4 and all(row) for row in ROWS) and len(TERMS) == len(ROWS)


def test_the_headings_of_the_tables_are_explained():
    layers = re.split(r"\s{2,}", str(striate.network("lenet5")).splitlines()[1].strip())
    measured, _, _ = profiled(profile(ProfileRequest(network="lenet5", batch_size=1, batch_sizes=(1,), seconds=0.001, device="cpu")))
    side_by_side, _, _ = compared(compare(CompareRequest(subjects=("lenet5", "compact_cnn"))))
    assert {*layers, *measured, *side_by_side} - TERMS == set()


def test_measures_methods_and_views_are_explained():
    words = {field.name.removesuffix("_interval").replace("_", " ").replace("f1", "F1") for field in dataclasses.fields(Measures)}
    assert {NAMES.get(word, word) for word in words - NOT_MEASURES} - TERMS == set()
    assert {*METHODS, *VIEWS, *TRUST, *get_args(Score)} - TERMS == set()


def test_what_diagnose_finds_and_what_ablate_and_repeat_measure_is_explained():
    assert {kind.replace("_", " ") for kind in KINDS} - TERMS == set()
    assert {*SHORT_HEADING, "lesion", "seed", "fold", "deviation"} - TERMS == {"95 %"}  # 95 % interval
