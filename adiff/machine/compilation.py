"""Compiled programs are kept between runs, however small: starting again costs a fraction.

They lie in ~/.cache/adiff/jax ($XDG_CACHE_HOME/adiff/jax); JAX's own variables say otherwise.
"""

import os
import sys


def keep() -> None:
  """Turns JAX's persistent compilation cache on; what is compiled already is not in it."""
  home = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
  chosen = {
    'jax_compilation_cache_dir': os.path.join(home, 'adiff', 'jax'),
    'jax_persistent_cache_min_compile_time_secs': 0,
    'jax_persistent_cache_min_entry_size_bytes': -1,
  }
  jax = sys.modules.get('jax')
  late = jax is not None and jax.config.jax_compilation_cache_dir is None
  for name, value in chosen.items():
    os.environ.setdefault(name.upper(), str(value))
    if late:  # it has read its variables
      jax.config.update(name, value)
