"""Training: runs and their folders, continued, shared among processes, repeated and logged."""
