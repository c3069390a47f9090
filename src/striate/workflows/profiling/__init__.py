"""What a network costs, counted and measured."""
