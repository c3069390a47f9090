"""Explanations of a model, and pictures filtered with kernels set by hand."""
