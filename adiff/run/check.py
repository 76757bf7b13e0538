"""What a config must say before anything is built from it, in words."""

from adiff.machine import sharding
from adiff.sample import truncation

CHOSEN = ('data', 'codec', 'blocks', 'process', 'draw', 'spacing', 'solver', 'model')
KEYS = (  # what is read, besides optim, whose keys optim.make names
  *('name', 'seed', 'init_from', 'history', 'history_cond', 'cond_dropout', 'optim'),
  *(word for choice in CHOSEN for word in (choice, f'{choice}.name')),
  *('truncation', 'truncation.temperature', 'truncation.top_k', 'truncation.top_p'),
  *('plan', 'plan.steps', 'plan.first', 'plan.delay', 'atoms', 'atoms.zero', 'atoms.one'),
  *('guidance', 'guidance.scale', 'guidance.first', 'guidance.interval'),
  *('train', 'train.steps', 'train.batch_size', 'train.microbatches', 'train.offload'),
  *('train.ema', 'train.block_sizes', 'train.random_length', 'train.complementary'),
  'train.next_token',
  *('train.log_every', 'train.eval_every', 'train.checkpoint_every', 'train.keep'),
  *('eval', 'eval.split', 'eval.batch_size', 'eval.examples', 'eval.samples', 'eval.num'),
  *('eval.steps', 'eval.samplers', 'eval.features', 'mesh'),
  *('mesh.data', 'mesh.fsdp', 'mesh.tensor', 'mesh.sequence'),
)


def extras(config, kinds) -> None:
  """Ways to train and to sample that not every process or batch admits."""
  train = config.train
  truncation.check(**dict(config.truncation))
  uncut = dict(temperature=1.0, top_k=0, top_p=1.0)
  if config.process.name == 'gaussian' and dict(config.truncation) != uncut:
    raise ValueError('config.truncation cuts laws of symbols and these tokens are floats; unset it')
  if not 0 <= train.random_length <= 1:
    raise ValueError(f'config.train.random_length={train.random_length} must lie in [0, 1]')
  if train.next_token < 0:
    raise ValueError(f'config.train.next_token={train.next_token} must not be negative')
  if train.next_token and config.process.name == 'gaussian':
    raise ValueError('config.train.next_token is a loss on symbols; set it to 0 for floats')
  if train.complementary and config.process.name != 'masked':
    raise ValueError(
      f'config.train.complementary hides what masking showed; process {config.process.name} masks '
      'nothing: set it to False'
    )
  if train.offload not in sharding.OFFLOAD:
    raise ValueError(
      f'config.train.offload={train.offload!r} must be one of {", ".join(sharding.OFFLOAD)}'
    )
  if train.batch_size % (kinds * train.microbatches):
    raise ValueError(
      f'train.batch_size={train.batch_size} must be a multiple of {kinds} block sizes times '
      f'{train.microbatches} micro-batches'
    )


def shifted(config, model) -> None:
  """What a shifted stream (nn/shifted.py) needs."""
  if model.shifted and (
    config.draw.name != 'ones' or config.history != 0 or config.plan.delay is not None
    or config.blocks.name != 'tokens'
    or max(config.plan.steps, config.plan.first) > 1 or config.train.next_token
    or config.train.block_sizes or config.model.self_condition
  ):
    raise ValueError(
      'model.shifted shows a token as noise once, then clean: it needs blocks.name=tokens, '
      'draw.name=ones, history=0.0, plan.steps=1, plan.delay=None, and no train.next_token, '
      'train.block_sizes or model.self_condition'
    )


def keys(config) -> None:
  """A config of another version, or one not made from configs/base.py, may lack keys."""
  for key in KEYS:
    *sections, name = key.split('.')
    place = config
    for section in sections:
      place = place[section]
    if name not in place:
      raise ValueError(
        f'the config has no key {key}; make it from configs/base.py, or use the version of adiff '
        'that wrote it'
      )


def numbers(config) -> None:
  """Numbers that no part checks by itself."""
  positive = (
    'train.steps',
    'train.batch_size',
    'train.microbatches',
    'train.log_every',
    'train.checkpoint_every',
    'train.keep',
    'eval.batch_size',
    'eval.samples',
    'eval.num',
    'plan.steps',
  )
  for key in positive:
    section, name = key.split('.')
    if config[section][name] < 1:
      raise ValueError(f'config.{key}={config[section][name]} must be at least 1')
  for key in ('seed', 'train.eval_every', 'eval.examples', 'plan.first'):
    value = config[key] if key == 'seed' else config[key.split('.')[0]][key.split('.')[1]]
    if value < 0:
      raise ValueError(f'config.{key}={value} must not be negative')
  if any(steps < 1 for steps in config.eval.steps):
    raise ValueError(f'config.eval.steps={config.eval.steps} must all be at least 1')
  for key, value in (('cond_dropout', config.cond_dropout), ('train.ema', config.train.ema)):
    if not 0 <= value < 1:
      raise ValueError(f'config.{key}={value} must lie in [0, 1)')
  if config.train.batch_size % config.train.microbatches:
    raise ValueError(
      f'train.microbatches={config.train.microbatches} must divide '
      f'train.batch_size={config.train.batch_size}'
    )
