"""Calibration of a classifier's confidence: temperature, reliability, and abstention."""
