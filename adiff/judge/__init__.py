"""What is said about a model, as sections; read section.py first."""
