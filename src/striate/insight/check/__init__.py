"""Checks of labelled pictures: copies, quality, labels that hardly fit, and what gives a label away."""
