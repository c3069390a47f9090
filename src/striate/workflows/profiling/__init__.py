"""The cost of a network, counted and measured."""
