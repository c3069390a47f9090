"""The subject of a verb: a network or a trained model, its run, and labelled pictures."""
