"""Tasks besides one class per picture: numbers, sets of labels, a class for each pixel, a picture."""
