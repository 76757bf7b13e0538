"""Fast ways to compute attention under the rule of sequence/mask.py; read rectangles.py first."""
