"""Saying what is wrong with a training: a probe that watches a model, and rules that read what it saw."""

from striate.insight.diagnose.records import KINDS, Finding, LayerSample, Sample
from striate.insight.diagnose.rules import Record, judge

__all__ = ["KINDS", "Finding", "LayerSample", "Record", "Sample", "judge"]
