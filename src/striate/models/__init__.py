"""What predicts: the model, its answers, how it is fitted, and the weights it starts from."""
