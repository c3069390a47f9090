"""How good answers are: measures of classes, of masks, and of numbers and labels."""
