"""Diagnosis of a training: the probe beside it, the findings and their pictures."""
