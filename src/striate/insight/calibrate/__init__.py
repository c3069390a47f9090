"""What a classifier's confidence is worth: temperature, reliability, and when it had better not answer."""
