"""Tasks besides one class a picture: numbers, sets of labels, a class for each pixel."""
