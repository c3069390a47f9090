"""What a model is worth: measures of its answers, their calibration, and models side by side."""
