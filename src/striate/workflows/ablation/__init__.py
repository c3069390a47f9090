"""Ablations: variants of a network, the trials that compare them, and lesions of a trained one."""
