"""The models that ship with adiff, in adiff/models: workdirs that hold weights, see
machine/weights.py. Their names are taken wherever a workdir is, and is not there."""

import os
import pathlib

from absl import logging

from adiff.run import workdir as workdir_lib

FOLDER = pathlib.Path(__file__).resolve().parents[1] / 'models'


def names() -> tuple[str, ...]:
  """Those that there are."""
  found = (path.parent.name for path in FOLDER.glob('*/config.json'))
  return tuple(sorted(name for name in found if name.isidentifier()))  # none that is being made


def place(workdir) -> str:
  """The workdir that is meant: a workdir of that name, else the shipped model of that name.

  What else the name might mean is told in a warning; `./NAME` is never a shipped model. Raises
  ValueError for a word that is neither.
  """
  word = os.fspath(workdir)
  if os.path.dirname(word) or word in (os.curdir, os.pardir):
    return word
  shipped = FOLDER / word
  if word not in names():
    if not os.path.exists(word):
      raise ValueError(
        f'there is no workdir {word!r}, and no model of that name ships with adiff, which has '
        f'{" and ".join(names())}; train first, or write one of these'
      )
    return word
  if workdir_lib.is_made(word):
    logging.warning('%s: the workdir here is taken, not the model that ships as %s', word, shipped)
    return word
  if os.path.exists(word):
    logging.warning(
      '%s: the model that ships with adiff is taken, for what lies here is no workdir', word
    )
  return str(shipped)
