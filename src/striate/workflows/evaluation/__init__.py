"""Evaluation of a model: measures of its predictions, their calibration, and comparison of models."""
