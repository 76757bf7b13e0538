"""What configs of earlier versions lack, and what held before there was any of it."""

import contextlib

from adiff.machine import json_file
from adiff.run import choose, kinds

# Keys that came since version 3 of the files (workdir.py), and what held before there were any: a
# workdir may lack them, and a section that is all here. Arguments of choices need no entry, for
# they have defaults.
LATER = {
  'guidance': {'scales': ()}, 'kinds': {}, 'plan': {'budgets': (), 'size': ()},
  'parallel': {
    'method': 'none', 'coordinate': 'data', 'window': 0, 'blocks': 1, 'start': 3, 'memory': 2,
    'tolerance': 0.01,
  },
  'speculative': {'draft': '', 'tokens': 4, 'steps': 0},
  'train': {
    'cond_dropouts': (), 'given': 0.0, 'flip': False, 'crop': 0, 'keep_every': 0, 'workers': 0,
    'orders': (), 'requantise': 0.0, 'share': 1.0, 'sizes': (),
  },
  'eval': {'orders': 0, 'chain': 1000, 'ode': 0, 'inception': '', 'efficientnet': False,
           'structure': False},
  'mesh': {'slices': 1},
  'quantiser': {'name': ''}, 'coder': {'name': ''},
}


def completed(config) -> dict:
  """A config as JSON with the keys that came after it was written."""
  sections = json_file.plain(LATER)
  sections = {name: _filled(config.get(name) or {}, keys) for name, keys in sections.items()}
  config = {**config, **sections}
  for kind in choose.ROOMS:
    with contextlib.suppress(ValueError):  # a class that is registered elsewhere
      choice = json_file.plain(choose.defaults(kind, config[kind]['name']))
      config[kind] = _filled(config[kind], choice)
  config['kinds'] = {name: _completed_kind(own) for name, own in config['kinds'].items()}
  return config


def _completed_kind(own):
  """What is said of a kind, its choices with the arguments that came later."""
  completed = dict(own)
  for key in set(own) & set(kinds.CHOICES):
    with contextlib.suppress(ValueError):
      choice = json_file.plain(choose.defaults(key, own[key]['name']))
      completed[key] = _filled(own[key], choice)
  return completed


def _filled(section, defaults):
  """A section with what it lacks behind what it has."""
  return section | {key: value for key, value in defaults.items() if key not in section}
