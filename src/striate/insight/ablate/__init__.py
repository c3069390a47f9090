"""Comparisons of ablations, and lesions of trained networks."""
