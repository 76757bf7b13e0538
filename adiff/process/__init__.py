"""What noise is; read base.py first."""
