"""adiff: autoregressive (block) diffusion in JAX; start reading at `adiff.sequence.blocks`."""

__version__ = '0.1.0'
__all__ = ('load', 'register', 'train')


def __getattr__(name):
  """`adiff.load`, `adiff.train` and `adiff.register`, imported when they are asked for."""
  if name not in __all__:
    raise AttributeError(f'module adiff has no {name!r}; it has {", ".join(__all__)}')
  from adiff.run import handle

  return getattr(handle, name)
