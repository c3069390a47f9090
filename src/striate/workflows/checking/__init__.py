"""The check of a data set: one pass over its pictures, and the page that shows what was found."""
