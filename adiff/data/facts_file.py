"""The facts of examples as JSON: what a workdir, and a set of tokens, tell of the data."""

import dataclasses

import numpy as np

from adiff.codec import base as codec_base
from adiff.machine import json_file
from adiff.sequence import conditions

FORM = {
  'medium': str, 'shape': [int], 'levels': int, 'coords?': [[int]],
  'conds': {str: {'class': str}},  # and its fields, such as names of the classes of a label
}
FORM['parts?'] = {str: FORM}  # of examples with several
_CONDS = {
  one.__name__: one for one in (conditions.Label, conditions.Features, conditions.Memory)
}


def told(facts: codec_base.Facts) -> dict:
  """The facts in FORM."""
  return {
    'medium': facts.medium, 'shape': list(facts.shape), 'levels': facts.levels,
    'coords': None if facts.coords is None else np.asarray(facts.coords).tolist(),
    'conds': {
      key: {'class': type(cond).__name__, **dataclasses.asdict(cond)}
      for key, cond in facts.conds.items()
    },
    **({'parts': {name: told(part) for name, part in facts.parts.items()}} if facts.parts else {}),
  }


def read(found: dict) -> codec_base.Facts:
  """Inverse of `told`; raises KeyError or TypeError for a condition that there is not."""
  conds = {}
  for name, cond in found['conds'].items():
    arguments = json_file.tuples(cond)
    conds[name] = _CONDS[arguments.pop('class')](**arguments)
  coords = found.get('coords')
  return codec_base.Facts(
    found['medium'], tuple(found['shape']), found['levels'], conds,
    None if coords is None else np.array(coords, np.int32),
    {name: read(part) for name, part in found.get('parts', {}).items()},
  )
