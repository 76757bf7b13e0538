"""Config -> parts. The only reader of the config's choices; it validates once, in words.

A choice is dict(name=..., **arguments). An unknown name or argument raises with the list of what
there is, and the nearest.
"""

import dataclasses
import difflib
import functools
import hashlib
import inspect
from typing import Any

import flax.linen
import numpy as np
import optax

from adiff import blocks as blocks_lib
from adiff import levels, optim
from adiff import recipe as recipe_lib
from adiff.codec import patches, pyramid
from adiff.data import chain, digits, images, mixture
from adiff.data import spec as spec_lib
from adiff.nn import denoiser
from adiff.process import base as process_base
from adiff.process import gaussian, masked, uniform
from adiff.solvers import base as solvers_base
from adiff.solvers import first_order, heun, multistep

CODECS = {'patches': patches.Patches, 'pyramid': pyramid.Pyramid}
DATA = {
  'chain': chain.Chain,
  'mixture': mixture.Mixture,
  'digits': lambda codec: digits.Digits(codec(digits.SHAPE, digits.LEVELS)),
  'tfds': lambda codec, dataset, data_dir: images.TfdsImages(codec, dataset, data_dir),
  'image_folder': lambda codec, data_dir, size, channels: images.ImageFolder(
    codec, data_dir, size, channels=channels
  ),
}
BLOCKS = {
  name: getattr(blocks_lib, name)
  for name in ('whole', 'tokens', 'equal', 'cells', 'frames', 'scales')
}
PROCESSES = {'gaussian': gaussian.Gaussian, 'masked': masked.Masked, 'uniform': uniform.Uniform}
DRAWS = {name: getattr(levels, name) for name in ('uniform', 'logit_normal', 'clipped', 'ones')}
SPACINGS = {name: getattr(levels, name) for name in ('linear', 'cosine', 'power')}
SOLVERS = {
  'first_order': first_order.FirstOrder,
  'heun': heun.Heun,
  'multistep': multistep.Multistep,
}
MODELS = {'denoiser': denoiser.Denoiser}
CHOSEN = ('data', 'codec', 'blocks', 'process', 'draw', 'spacing', 'solver', 'model')
KEYS = (  # what is read, besides optim, whose keys optim.make names
  *('name', 'seed', 'init_from', 'history', 'history_cond', 'cond_dropout', 'optim'),
  *(word for choice in CHOSEN for word in (choice, f'{choice}.name')),
  *('plan', 'plan.steps', 'plan.first', 'plan.delay', 'atoms', 'atoms.zero', 'atoms.one'),
  *('guidance', 'guidance.scale', 'guidance.first', 'guidance.interval'),
  *('train', 'train.steps', 'train.batch_size', 'train.microbatches', 'train.ema'),
  *('train.log_every', 'train.eval_every', 'train.checkpoint_every', 'train.keep'),
  *('eval', 'eval.split', 'eval.batch_size', 'eval.examples', 'eval.samples', 'eval.num'),
  *('eval.steps', 'eval.features', 'mesh', 'mesh.data', 'mesh.fsdp'),
)


@dataclasses.dataclass(frozen=True)
class Parts:
  """What a config stands for."""

  config: Any
  source: spec_lib.Source
  blocks: blocks_lib.Blocks
  process: process_base.Process
  draw: levels.Draw
  plan: levels.Plan
  solver: solvers_base.Solver
  model: flax.linen.Module
  tx: optax.GradientTransformation
  recipe: recipe_lib.Plain

  @property
  def spec(self) -> spec_lib.Spec:
    return self.source.spec

  @property
  def reveals(self):
    """Of `likelihood.bound`: a network that was trained on pure noise alone is judged there."""
    return tuple((n,) for n in self.blocks.sizes) if self.config.draw.name == 'ones' else None

  @property
  def guidance(self) -> np.ndarray:
    """[K] guidance scale of each block."""
    guide = self.config.guidance
    first = guide.first if guide.scale != 1 else 1.0
    return np.linspace(first, guide.scale, self.blocks.num_blocks, dtype=np.float32)

  @functools.cached_property
  def contract(self) -> dict:
    """What a checkpoint means, beyond its arrays; evaluation and sampling refuse another one."""
    order = hashlib.sha256(np.asarray(self.blocks.order, np.int32).tobytes()).hexdigest()[:16]
    process = dataclasses.asdict(self.process)
    return {
      'levels': '0 clean, 1 noise',
      'process': {
        'name': self.config.process.name,
        **{k: v for k, v in process.items() if k not in ('eta', 'clip')},
      },
      'blocks': {'order': order, 'num_tokens': self.blocks.num_tokens},
      'history_cond': self.recipe.history_cond,
      'codec': dict(self.config.codec),
      'data': self.source.fingerprint,
    }


def resolve(key, table, choice, **provided):
  """table[choice.name](**arguments), with `provided` where it is taken and not set; raises
  ValueError in words."""
  arguments = dict(choice)
  name = arguments.pop('name', None)
  if name not in table:
    near = difflib.get_close_matches(str(name), table, n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    raise ValueError(
      f'config.{key}.name={name!r} is unknown; choose one of {", ".join(table)}{hint}'
    )
  taken = inspect.signature(table[name]).parameters
  arguments = {**{k: v for k, v in provided.items() if k in taken}, **arguments}
  for argument in arguments:
    if argument not in taken:
      own = [k for k in taken if k not in provided]
      raise ValueError(
        f'config.{key}: {name} takes no {argument!r}; it takes {", ".join(own) or "no arguments"}'
      )
  missing = [k for k, v in taken.items() if v.default is v.empty and k not in arguments]
  if missing:
    raise ValueError(f'config.{key}: {name} needs {", ".join(missing)}')
  return table[name](**arguments)


def build_source(config) -> spec_lib.Source:
  """The data set, seen through its codec."""
  toys = ('chain', 'mixture')
  if config.data.name in DATA and (config.codec.name == 'none') != (config.data.name in toys):
    raise ValueError(
      f'config.codec.name={config.codec.name!r} does not fit '
      f'config.data.name={config.data.name!r}; '
      'images need patches or pyramid, chain and mixture need none'
    )
  codec = lambda shape, count: resolve('codec', CODECS, config.codec, shape=shape, levels=count)
  return resolve('data', DATA, config.data, codec=codec)


def build_process(config, spec) -> process_base.Process:
  """The process, which must fit the kind of tokens."""
  discrete = config.process.name != 'gaussian'
  if config.process.name in PROCESSES and discrete != bool(spec.vocab):
    kind, other = ('symbols', 'floats') if discrete else ('floats', 'symbols')
    change = (
      f'codec.discrete={discrete}'
      if config.codec.name != 'none'
      else f'data.name={"chain" if discrete else "mixture"}'
    )
    raise ValueError(
      f'process {config.process.name} needs tokens that are {kind} but the data has {other}; set '
      f'{change}'
    )
  choice = dict(config.process)
  if 'clip' in choice:
    choice['clip'] = choice['clip'] or None
  return resolve('process', PROCESSES, choice, vocab=spec.vocab, dim=spec.dim, bin=spec.bin)


def build_blocks(config, spec) -> blocks_lib.Blocks:
  """The blocks, which must cover the data's tokens."""
  blocks = resolve(
    'blocks',
    BLOCKS,
    config.blocks,
    num_tokens=spec.num_tokens,
    grid=spec.grid,
    history=config.history,
  )
  if blocks.num_tokens != spec.num_tokens:
    raise ValueError(
      f'blocks sum to {blocks.num_tokens} tokens but {config.data.name} rows have '
      f'{spec.num_tokens}; '
      f'change config.blocks or the codec so that they agree'
    )
  return blocks


def build_plan(config, blocks, *, steps=None) -> levels.Plan:
  """The sampling plan; `steps` a block replaces the config's."""
  steps = steps or config.plan.steps
  budgets = (config.plan.first or steps,) + (steps,) * (blocks.num_blocks - 1)
  plan = levels.Plan(
    blocks.num_blocks,
    budgets,
    config.plan.delay,
    spacing=resolve('spacing', SPACINGS, config.spacing),
  )
  if blocks.num_blocks > 1 and blocks.history is not None and not plan.sequential:
    raise ValueError(
      f'plan.delay={plan.delay} starts a block before the one it reads at level {blocks.history} '
      'is finished; '
      'set plan.delay=None, or history=None (diffusion forcing)'
    )
  return plan


def build(config) -> Parts:
  """All parts of a config; raises ValueError for what cannot work, with what to write instead."""
  _check_keys(config)
  _check_numbers(config)
  source = build_source(config)
  spec = source.spec
  spec_lib.check_split(config.eval.split, source.splits)
  process = build_process(config, spec)
  blocks = build_blocks(config, spec)
  if config.draw.name == 'ones' and config.process.name != 'masked':
    raise ValueError(
      'draw ones trains on pure noise alone, which only process masked can learn from; set '
      'draw.name=uniform'
    )
  draw = resolve('draw', DRAWS, config.draw)
  if config.atoms.zero or config.atoms.one:
    draw = levels.atoms(draw, zero=config.atoms.zero, one=config.atoms.one)
  plan = build_plan(config, blocks)
  solver = resolve('solver', SOLVERS, config.solver)
  solver.check(process)
  if config.guidance.scale != 1 and not spec.num_classes:
    raise ValueError(
      f'guidance.scale={config.guidance.scale} needs labels, and {config.data.name} has none; set '
      'it to 1'
    )
  model = resolve(
    'model', MODELS, config.model,
    num_inputs=process.num_inputs, num_outputs=process.num_outputs, num_classes=spec.num_classes,
  )
  tx, _ = optim.make(**dict(config.optim), total_steps=config.train.steps)
  recipe = recipe_lib.Plain(
    model=model, tx=tx, blocks=blocks, process=process, draw=draw, coords=spec.coords,
    ema=config.train.ema, cond_dropout=config.cond_dropout, microbatches=config.train.microbatches,
    history_cond=config.history_cond or blocks.history is None,
  )
  return Parts(config, source, blocks, process, draw, plan, solver, model, tx, recipe)


def _check_keys(config):
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


def _check_numbers(config):
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
