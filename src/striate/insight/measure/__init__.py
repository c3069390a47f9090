"""Measures of predictions: of classes, of masks, and of numbers and labels."""
