"""Whose mistake an exception is: a sentence for a user, or a fault that needs its traceback."""

import pathlib
import traceback

_HOME = pathlib.Path(__file__).resolve().parents[1]
_OURS = (_HOME, *(_HOME.parent / name for name in ('configs', 'launch', 'benchmarks')))


def keep_frames() -> None:
  """Has JAX leave its own frames in tracebacks; without, its errors end where it was called."""
  import jax

  jax.config.update('jax_traceback_filtering', 'off')


def ours(error) -> bool:
  """Was it raised by this package, or by the folders beside it, and not in the depth of a library?

  The place of the module that raised it decides, whatever the folders above are called.
  """
  *_, (frame, _) = traceback.walk_tb(error.__traceback__)
  place = pathlib.Path(frame.f_code.co_filename).resolve()
  return any(place.is_relative_to(top) for top in _OURS)


def told(error) -> bool:
  """Is one sentence enough? What the system refuses says itself what is wrong."""
  return True if isinstance(error, OSError) else ours(error)
