"""Diagnosis of a training: a probe that observes a model, and rules that interpret its samples."""

from striate.insight.diagnose.records import KINDS, Finding, LayerSample, Sample
from striate.insight.diagnose.rules import Record, judge

__all__ = ["KINDS", "Finding", "LayerSample", "Record", "Sample", "judge"]
