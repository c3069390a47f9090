"""Training configurations: the choices that a request leaves open, the published recipes, and recipes in files."""
