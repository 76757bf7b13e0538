"""One reverse step each; read base.py first."""
