"""The cost of a network, counted and measured: layers, latency, memory, and the limits of the machine."""
