"""Codecs: examples <-> tokens in raster order, on the host (numpy)."""
