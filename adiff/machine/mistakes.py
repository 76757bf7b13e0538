"""Whose mistake an exception is: a sentence for a user, or a fault that needs its traceback."""

import contextlib
import pathlib
import re
import sys
import traceback
from collections.abc import Iterator

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


@contextlib.contextmanager
def in_a_sentence() -> Iterator[None]:
  """Ends the program with exit code 2 and a sentence on stderr where its user is mistaken."""
  keep_frames()
  try:
    yield
  except (ValueError, OSError) as error:
    if not told(error):
      raise
    print(f'adiff: {sentence(error)}', file=sys.stderr)
    sys.exit(2)


def sentence(error) -> str:
  """An exception's text on one line, without the libraries' wrapping."""
  while isinstance(error, KeyError | AttributeError) and error.args:
    if not isinstance(error.args[0], Exception):
      return f'no such key in the config: {" ".join(str(error.args[0]).split())}'
    error = error.args[0]
  text = str(error)
  if 'Traceback (most recent call last)' in text:  # absl quotes the one of a config file whole
    text = text.strip().splitlines()[-1].removeprefix('ValueError: ')
  text = re.sub(r'^flag --config=\S+: ', '', text)  # absl says so of a sentence of ours
  _, unread, why = text.partition('because of an earlier failure to load: ')
  if unread:  # ml_collections says so of the file of --config
    why = re.sub(r".*No such file or directory: ('.*')", r'there is no file \1', why, flags=re.S)
    text = f'--config cannot be read: {why.rstrip(".")}; write --config=FILE.py or FILE.py:ROW'
  # A file may hold what a terminal obeys.
  return ''.join(c if c.isprintable() else '\ufffd' for c in ' '.join(text.split()))
