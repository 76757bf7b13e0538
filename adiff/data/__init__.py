"""Examples, one file a source; read spec.py first."""
