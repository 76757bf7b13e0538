"""Metrics of samples against real examples: pure functions of numpy arrays."""
