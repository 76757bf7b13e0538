"""adiff: autoregressive (block) diffusion in JAX; start reading at `adiff.blocks`."""

__version__ = '0.1.0'
