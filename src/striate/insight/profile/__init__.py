"""What a network costs, counted and measured: layers, latency, memory, and the machine's own limits beside them."""
