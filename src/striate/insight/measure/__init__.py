"""Measures of predictions: of classes, of masks, of numbers and labels, and of pictures."""
