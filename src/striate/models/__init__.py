"""Trained models: the model, its predictions, its fitting, and the weights it starts from."""
