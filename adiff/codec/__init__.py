"""From examples to tokens and back; read patches.py first."""
