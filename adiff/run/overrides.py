"""The same network with other blocks, steps or solver: what sampling may change in a config."""

import os
import re
from typing import Any

from adiff.machine import json_file, storage
from adiff.run import asked, choose, step_profile
from adiff.run import workdir as workdir_lib
from adiff.sample import budget
from adiff.sequence import values

BUDGET = 'budget'  # the solver name that stands for a plan made from a profile of the model


def arrange(config, workdir, *, block_size=None, steps=None, solver=None, profile=None) -> Any:
  """The config with other blocks, steps a block or solver, for sampling.

  solver: NAME or NAME(key=value, ..) of adiff/sample/solvers/, or 'budget', see sample/budget.py.
  Of masked tokens it reveals as many random ones in each of `steps` calls as the loss profile makes
  best; of gaussian ones it deals `steps` a block, on average, out to the blocks as the workdir's
  step profile makes best (adiff/run/step_profile.py), and the config's solver makes them. profile:
  that of adiff/run/loss_profile.py; None: the one in the workdir's eval.json.
  """
  if len(config.kinds):
    _check_several(config, block_size, steps, solver)
  config = config.copy_and_resolve_references().unlock()
  if block_size is not None:
    block_size = asked.count('block_size', block_size)
    config.blocks = {'name': 'equal', 'size': block_size}
    absorbing = choose.find('process', config.process.name).absorbing
    config.plan.steps = block_size if absorbing else 2 * block_size
  if steps is not None:
    config.plan.steps = asked.count('steps', steps)
  if block_size is not None or steps is not None:
    config.plan.budgets = ()  # of the blocks and steps that were there
  if solver == BUDGET and config.plan.size:
    raise ValueError('solver budget plans for pictures as large as those trained on; leave '
                     'plan.size empty')
  if solver == BUDGET and choose.find('process', config.process.name).has_ode:
    config.plan.budgets = ()
    config.plan.budgets = step_profile.best(workdir, config)
  elif solver == BUDGET:
    config.solver = {'name': 'scheduled', 'choose': 'random'}
    config.spacing = {'name': 'reveals', 'counts': _best_counts(workdir, config, profile)}
    config.plan.steps = len(config.spacing.counts)
  elif solver is not None:
    config.solver = parse_solver(solver)
  return config.lock()


def _check_several(config, block_size, steps, solver):
  """Raises ValueError for what no sequence of several kinds has, or each kind says of itself."""
  told = ', '.join(config.kinds)
  if block_size is not None or solver == BUDGET:
    raise ValueError(
      f'another block_size and solver budget are for tokens of one kind, and this run has {told}; '
      'write --set=kinds.NAME.steps=N for each'
    )
  for key, value, change in (('steps', steps, 'steps=N'), ('solver', solver, 'solver.name=NAME')):
    if value is not None and all(key in own for own in config.kinds.values()):
      raise ValueError(
        f'{key}={value} would change nothing, for each of {told} says its own; write '
        f'--set=kinds.NAME.{change}'
      )


def parse_solver(text) -> dict:
  """'threshold(threshold=0.8)' -> {'name': 'threshold', 'threshold': 0.8}."""
  match = re.fullmatch(r'\s*(\w+)\s*(?:\((.*)\))?\s*', text)
  if match is None:
    raise ValueError(f'solver {values.shown(text)} is not NAME or NAME(key=value, ..); write for '
                     'example threshold(threshold=0.8)')
  choice = {'name': match[1]}
  for part in filter(None, (match[2] or '').split(',')):
    key, equals, value = (piece.strip() for piece in part.partition('='))
    if not equals or key in choice:
      raise ValueError(f'solver {values.shown(text)}: write {values.shown(key)[1:-1]}=VALUE once')
    choice[key] = workdir_lib.value_of(value.replace("'", '"').replace('None', 'null'))
  return choice


def _best_counts(workdir, config, profile):
  """What to reveal in each of config.plan.steps calls."""
  path = os.path.join(workdir, 'eval.json')
  if profile is None and storage.exists(path):
    form = {'profile?': {'nats': [float]}}
    profile = json_file.read(path, form, advice='write it anew with --mode=eval').get('profile')
  if not profile:
    raise ValueError(
      f'solver budget needs the loss profile in {path}, and there is none; run --mode=eval on a '
      'model of masked noise with equal blocks first'
    )
  size = config.blocks.get('size', len(profile['nats']))  # others are as they were evaluated
  if len(profile['nats']) != size:
    raise ValueError(
      f'the loss profile in {path} is of blocks of {len(profile["nats"])} tokens, not of {size}; '
      'solver budget samples with the blocks that were evaluated'
    )
  return tuple(budget.optimal(profile['nats'], min(config.plan.steps, size)))
