"""The file of --config: run, and told with its name where it makes no config."""

import os
import re
import sys
from collections.abc import Callable

import ml_collections

from adiff.run import choose
from adiff.sequence import values


def read(parse: Callable, path: str) -> ml_collections.ConfigDict:
  """The config of a file; a name that the command line chooses, such as --config.solver.name=heun,
  takes that choice's own defaults, before other flags change them.

  parse: path -> config, of ml_collections. Raises ValueError in words.
  """
  config = _run(parse, path)
  words = iter(sys.argv)
  for word in words:
    chosen = re.fullmatch(r'--?config\.(\w+)\.name(?:=(.*))?', word)
    if chosen and isinstance(config, ml_collections.ConfigDict):
      if chosen[1] in choose.ROOMS and chosen[1] in config:
        choose.take(config, chosen[1], next(words, '') if chosen[2] is None else chosen[2])
  return config


def _run(parse, path):
  """What a file makes; whatever it raises or returns instead of a config is told with its name. One
  that there is not is left to ml_collections."""
  file = path.partition(':')[0]
  try:
    config = parse(path)
    if isinstance(config, ml_collections.ConfigDict) or not os.path.isfile(file):
      return config
    getattr(config, 'keys', None)  # an OSError inside the file is raised here
  except KeyboardInterrupt:
    raise
  except SystemExit as error:
    raise ValueError(f'{file} ends the program, which a config must not; let it return') from error
  except BaseException as error:  # a file may raise anything
    raise ValueError(_told(file, error)) from error
  raise ValueError(
    f'{file} returns {values.shown(config)}, which is no ConfigDict; begin with base.get_config()'
  )


def _told(file, error) -> str:
  """A sentence with the file's name in it."""
  kind, text = type(error).__name__, str(error)
  if 'Traceback (most recent call last)' in text:  # ml_collections quotes it whole
    text = text.strip().splitlines()[-1].removeprefix(f'{kind}: ')
  text = text.rpartition('because of an earlier failure to load: ')[2]
  return text if os.path.basename(file) in text else f'{file} raises {kind}: {text}'.rstrip(': ')
