"""What is said about a model; read likelihood.py first."""
