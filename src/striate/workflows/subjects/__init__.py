"""What a verb looks at: a network or a trained model, its run, and the labelled pictures beside it."""
