"""Settings of each kind of tokens, where there are several.

  config.kinds.NAME = dict(process=dict(name='masked'), solver=.., steps=4, weight=0.5, ..)

What a kind does not say is as the config says of all. Kinds are called as the parts of the data's
examples are.
"""

import dataclasses
from typing import Any

from adiff.run import choose
from adiff.sequence import values

CHOICES = ('codec', 'blocks', 'process', 'draw', 'spacing', 'solver', 'head')


@dataclasses.dataclass
class Kind:
  """The keys of a kind that are no choices."""

  steps: values.Count  # of the sampling plan, a block; as plan.steps
  history: values.ShareBelow1 | None  # level at which later blocks read it; as history
  # of its tokens in the loss; 1 where it does not say. 0: what stands first is read alone
  weight: values.NotNegative
  # share of examples that train with this kind hidden in their history, for guidance; 0
  dropout: values.ShareBelow1


def check(kinds) -> None:
  """Raises ValueError in words for what no kind can be; nothing is made."""
  if not hasattr(kinds, 'keys'):
    raise ValueError(
      f'config.kinds={values.shown(kinds)} must be a section with a section a kind of tokens'
    )
  known = {name: one.annotation for name, one in values.parameters(Kind).items()}
  for name, own in kinds.items():
    place = f'config.kinds.{name}'
    if not hasattr(own, 'keys'):
      raise ValueError(
        f'{place}={values.shown(own)} must be a section with any of '
        f'{", ".join((*CHOICES, *known))}'
      )
    for key, value in own.items():
      if key in CHOICES:
        choose.check(key, value)
      elif key in known:
        values.check(f'{place}.{key}', value, known[key])
      else:
        raise ValueError(
          f'{place} has no key {values.shown(key)}; it has {", ".join((*CHOICES, *known))}'
        )


def check_names(config, names) -> None:
  """Raises ValueError where the config names a kind that the data has not."""
  for name in config.kinds:
    if name not in names:
      raise ValueError(
        f'config.kinds.{values.shown(name)} is no kind of config.data.name={config.data.name}, '
        f'which has {", ".join(names) or "tokens of one kind alone"}'
      )


def own(config, kind, key, default=None) -> Any:
  """What the config says of a kind, or else of all (a choice), or `default`."""
  section = config.kinds.get(kind, {}) if kind is not None else {}
  if key in section:
    return section[key]
  return config[key] if key in CHOICES else default


def check_single(config) -> None:
  """Raises ValueError for what only tokens of one kind can have; asked where there are several."""
  train, network = config.train, dict(config.model)
  for key, usual in (('recipe', 'plain'), ('model', 'denoiser')):
    if not choose.find(key, config[key].name).several_kinds:
      raise ValueError(
        f'config.{key}.name={config[key].name!r} is for tokens of one kind, and {config.data.name} '
        f'has several; write {key}.name={usual}'
      )
  for key, chosen in (
    ('model.apart', network.get('apart', False)),
    ('model.self_condition', network.get('self_condition', False)),
    ('model.shifted', network.get('shifted', False)),
    ('model.hinted', network.get('hinted', 'none').replace('none', '')),
    ('train.next_token', train.next_token), ('train.complementary', train.complementary),
    ('train.block_sizes', train.block_sizes), ('train.requantise', train.requantise),
    ('plan.budgets', config.plan.budgets), ('plan.first', config.plan.first),
  ):
    if chosen:
      raise ValueError(
        f'config.{key}={values.shown(chosen)} is for tokens of one kind, and {config.data.name} '
        'has several; leave its default'
      )
