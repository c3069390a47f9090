"""How networks are trained: the choices that a request leaves open, the published recipes, and recipes in files."""
