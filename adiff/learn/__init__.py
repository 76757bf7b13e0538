"""How parameters move; read loss.py first."""
