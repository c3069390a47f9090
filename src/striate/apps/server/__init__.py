"""The prediction server: HTTP in one process, models in others, which may die without taking a request along."""
