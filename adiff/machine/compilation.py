"""Compiled programs are kept between runs, however small: starting again costs a fraction.

They lie in ~/.cache/adiff/jax ($XDG_CACHE_HOME/adiff/jax); JAX's own variables say otherwise.
"""

import os


def keep() -> None:
  """Turns JAX's persistent compilation cache on; to be called before jax is imported."""
  home = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', os.path.join(home, 'adiff', 'jax'))
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')
