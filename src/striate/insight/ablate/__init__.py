"""What ablations are judged by, and the lesions of trained networks."""
