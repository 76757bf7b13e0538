"""Coloured shapes, whose pictures are read back and captions judged; read scene.py first."""
