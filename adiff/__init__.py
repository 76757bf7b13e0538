"""adiff: autoregressive (block) diffusion in JAX; start reading at `adiff.sequence.blocks`."""

__version__ = '0.1.0'
