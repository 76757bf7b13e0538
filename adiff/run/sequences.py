"""Config -> what is denoised with what: the data as tokens, their process, blocks, levels, plan."""

import dataclasses

import jax.numpy as jnp

from adiff.codec import base as codec_base
from adiff.data import base as data_base
from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.run import choose, codec_file, codecs, kinds
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import draw as draw_lib
from adiff.sequence import plan as plan_lib
from adiff.sequence import values


def coded(config, codec=None) -> data_base.Coded:
  """The data set, seen through its codec; codec: it, where it has learnt already."""
  source = choose.resolve('data', config.data)
  facts = source.facts
  kinds.check_names(config, facts.parts)
  if codec is None:
    codec = _codec(config, facts, source.encoded_by).fit(source)
  return source.coded(codec, align=_align(config, codec.spec(facts)))


def _align(config, spec):
  """What packed documents are filled up to: whole blocks, of every size, where there are any."""
  if not config.blocks.name:
    return 1
  return max((*blocks_of(config, spec).sizes, *config.train.block_sizes))


def _codec(config, facts, encoded_by, kind=None) -> codec_base.Codec:
  """The codec for examples of such facts, or for the part of them that is called `kind`."""
  choice = kinds.own(config, kind, 'codec')
  if not choose.find('codec', choice.name).reads(facts):
    fitting = [name for name in choose.names('codec') if choose.find('codec', name).reads(facts)]
    place = 'config.' if kind is None else f'config.kinds.{kind}.'
    raise ValueError(
      f'{place}codec.name={choice.name!r} does not fit config.data.name={config.data.name!r}; it '
      f'takes {" or ".join(fitting)}'
    )
  choice = codec_file.completed(choice, encoded_by)
  parts = {name: _codec(config, own, None, name) for name, own in facts.parts.items()}
  return codecs.resolve(choice, shape=facts.shape, levels=facts.levels, kinds=parts)


def process(config, spec) -> process_base.Process:
  """The process, which must fit the kinds of tokens."""
  if not spec.by_kind:
    return _process(config, spec.kind)
  if not choose.takes('process', config.process.name, 'kinds'):
    raise ValueError(
      f'process {config.process.name} is of one kind of tokens and the data has '
      f'{", ".join(spec.by_kind)}; write process.name=joint, and a process for each in config.kinds'
    )
  return choose.resolve('process', config.process, kinds={
    name: _process(config, kind, name) for name, kind in spec.by_kind.items()
  })


def _process(config, kind, name=None) -> process_base.Process:
  """The process of one kind of tokens, which is called `name` where there are several."""
  choice = kinds.own(config, name, 'process')
  wanted = choose.find('process', choice.name).discrete
  if choose.takes('process', choice.name, 'kinds'):
    missing = 'the data has one' if name is None else f'config.kinds.{name} names no process'
    raise ValueError(f'process joint is made of those of several kinds, and {missing}; name it')
  if wanted != kind.discrete:
    words, other = ('symbols', 'floats') if wanted else ('floats', 'symbols')
    change = (
      f'codec.discrete={wanted}' if 'discrete' in kinds.own(config, name, 'codec')
      else f'kinds.{name}.process' if name is not None
      else f'data.name={"chain" if wanted else "mixture"}'
    )
    raise ValueError(
      f'process {choice.name} needs tokens that are {words} but the data has {other}; set '
      f'{change}'
    )
  return choose.resolve('process', choice, **dataclasses.asdict(kind))


def blocks_of(config, spec, order=None) -> blocks_lib.Blocks:
  """The blocks, which must cover the data's tokens; order: of kinds, where not the config's."""
  parts = {
    name: _blocks(config, num, spec.grids[name], name) for name, num in spec.runs or ()
  }
  if bool(parts) != choose.takes('blocks', config.blocks.name, 'kinds'):
    several = ', '.join(spec.by_kind)
    raise ValueError(
      f'blocks {config.blocks.name} are of one kind of tokens and the data has {several}; write '
      'blocks.name=joint' if parts else
      'blocks joint are of several kinds of tokens and the data has one; write another blocks.name'
    )
  if not parts:
    blocks = _blocks(config, spec.num_tokens, spec.grid)
  else:
    chosen = {} if order is None else {'order': order}
    blocks = choose.resolve('blocks', {**config.blocks, **chosen}, kinds=parts)
  if blocks.num_tokens != spec.num_tokens:
    raise ValueError(
      f'blocks sum to {blocks.num_tokens} tokens but {config.data.name} rows have '
      f'{spec.num_tokens}; change config.blocks or the codec so that they agree'
    )
  return dataclasses.replace(blocks, causal=bool(config.train.next_token))


def _blocks(config, num_tokens, grid, kind=None) -> blocks_lib.Blocks:
  """The blocks of one kind of tokens."""
  return choose.resolve(
    'blocks', kinds.own(config, kind, 'blocks'), num_tokens=num_tokens, grid=grid,
    history=kinds.own(config, kind, 'history', config.history),
  )


def equal(config, spec, size) -> blocks_lib.Blocks:
  """Equal blocks of another size that the same network learns."""
  blocks = blocks_lib.equal(spec.num_tokens, size, history=config.history)
  return dataclasses.replace(blocks, causal=bool(config.train.next_token))


def geometries(
  config, spec, process
) -> tuple[tuple[blocks_lib.Blocks, draw_lib.Draw], ...]:
  """(blocks, draw) of the config, and of train.orders and train.block_sizes; masked blocks of one
  token are always all noise, the chain rule."""
  if config.train.orders and not spec.by_kind:
    raise ValueError(
      f'config.train.orders={values.shown(config.train.orders)} are of several kinds of tokens, '
      'and the data has one; write train.orders=(), or another blocks.name for another order'
    )
  blocks = blocks_of(config, spec)
  draw = _draw(config, spec, process, blocks)
  geometries = [(blocks, draw)]
  for order in config.train.orders:
    other = blocks_of(config, spec, order)
    geometries.append((other, _draw(config, spec, process, other)))
  for size in config.train.block_sizes:
    ones = size == 1 and process.absorbing
    geometries.append((equal(config, spec, size), draw_lib.ones() if ones else draw))
  return tuple(geometries)


def _draw(config, spec, process, blocks) -> draw_lib.Draw:
  """The levels of the blocks, which the processes of several kinds must be able to learn from."""

  def of_kind(kind=None):
    draw = choose.resolve('draw', kinds.own(config, kind, 'draw'))
    if config.atoms.zero or config.atoms.one:
      draw = draw.with_atoms(zero=config.atoms.zero, one=config.atoms.one)
    return draw

  if not spec.by_kind:
    return of_kind()
  draws = {kind: of_kind(kind) for kind in spec.by_kind}
  for kind, own in draws.items():
    own.check(process.of(kind))
  return draw_lib.Draw.joint(draws, blocks.runs_of_blocks)


def hints(coded, blocks) -> network_lib.Hints:
  """What the codec tells of tokens once those of earlier blocks are made; 0 of vectors that are not
  known, which are nan."""

  def told(x):
    found = coded.codec.hints(coded.params, blocks.to_raster(x))
    known = {name: jnp.where(jnp.isnan(value), 0, value) for name, value in found.items()}
    return {name: blocks.from_raster(value) for name, value in known.items()}

  return told


def plan(config, blocks, *, steps=None) -> plan_lib.Plan:
  """The sampling plan; `steps` a block, where they are others, replace the config's."""
  names = blocks.kind_of_block
  budgets = [
    kinds.own(config, kind, 'steps', config.plan.steps) if steps is None else steps
    for kind in names
  ]
  if config.plan.first:
    budgets[0] = config.plan.first
  if config.plan.budgets and steps in (None, config.plan.steps):
    budgets = config.plan.budgets
  spacings = {
    kind: choose.resolve('spacing', kinds.own(config, kind, 'spacing')) for kind in set(names)
  }
  return plan_lib.Plan(
    blocks.num_blocks, tuple(budgets), config.plan.delay, spacing=spacings[names[0]],
    spacings=() if blocks.kinds is None else tuple(spacings[kind] for kind in names),
  )
