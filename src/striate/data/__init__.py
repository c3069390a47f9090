"""Labelled pictures: named sets, folders and arrays; decoding, splits and whole-batch augmentation."""
